-- merged:///NAME: two registries as one, by a rule of one's own. Here: what the new one has is taken from there, and
-- who is in the old one alone gets half the picks that it would get, so that whoever moves gains by it.
return {
  kind = "registry",
  summary = "the new registry's instances, and with half their weight those that only the old one has",
  options = { old = "string", new = "string" },

  watch = function(_, target, set, options)
    local name = ":///" .. target.name
    for new, old in perigee.watch(options.new .. name, options.old .. name) do
      if new.stale and old.stale then
        return nil, "neither registry can be reached"
      end
      local all = {}
      for _, instance in ipairs(old) do
        instance.weight = instance.weight / 2
        all[instance.id] = instance
      end
      for _, instance in ipairs(new) do
        all[instance.id] = instance
      end
      local batch = set:batch()
      for _, instance in pairs(all) do
        batch:put(instance)
      end
      set:replace(batch)
    end
  end,
}
