-- Asks for what was not granted. What it gets it says.
return {
  kind = "check",
  summary = "files, hosts and programs that are none of its business",
  run = function(instance)
    local out = {}
    local function refused(what, result, message, code)
      if result or code ~= "EACCES" or not message:find("grant = {", 1, true) then
        out[#out + 1] = what .. " (" .. tostring(message) .. ")"
      end
    end
    refused("read", perigee.fs.read("/etc/passwd"))
    refused("up", perigee.fs.read(instance.meta.readable .. "../../etc/passwd"))
    refused("stat", perigee.fs.stat("/"))
    refused("list", perigee.fs.list("/"))
    refused("watch", perigee.fs.watch("/"))
    refused("write", perigee.fs.write("/tmp/perigee-hostile", "x"))
    refused("run", perigee.process.run({ "/bin/sh", "-c", "exit 0" }))
    refused("env", perigee.env("HOME"))
    refused("tcp", perigee.tcp.connect("127.0.0.9", 1))
    refused("unix", perigee.unix.connect("/run/perigee/perigee.sock"))
    refused("http", perigee.http.get("http://127.0.0.9:1/"))
    refused("userinfo", perigee.http.get("http://" .. instance.address .. "@127.0.0.9:1/"))
    refused("socket", perigee.http.get("http://" .. instance.address, { unix = "/run/docker.sock" }))
    refused("dns", perigee.dns.resolve("secret.example.org"))
    refused("listen", perigee.tcp.listen("0.0.0.0", 0))
    refused("deadline", perigee.task.spawn(perigee.fs.read, "/etc/shadow"):join())
    local own, message, code = perigee.tcp.connect(instance.address, instance.meta.listener)
    if not own and code == "EACCES" then
      out[#out + 1] = "its own address: " .. message
    end
    return "passing", #out == 0 and "contained" or "ESCAPED: " .. table.concat(out, ", ")
  end,
}
