-- Tasks that start tasks that start tasks.
return {
  kind = "check",
  summary = "tasks without end",
  run = function()
    local function more()
      while true do
        perigee.task.spawn(more)
        perigee.sleep(0)
      end
    end
    more()
  end,
}
