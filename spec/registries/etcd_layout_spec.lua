-- What other programs write to etcd is read as they mean it.
local etcd = require("spec.registries.etcd")
local host = require("spec.registries.host")

describe("layouts of others in etcd", function()
  local cluster, agent

  setup(function()
    cluster = etcd.start()
    local urls = cluster:urls()
    agent = host.agent({
      registries = {
        plain = { adapter = "etcd", endpoints = urls, layout = "json" },
        named = { adapter = "etcd", endpoints = urls, layout = "grpc" },
        ours = { endpoints = urls, prefix = "x/" },
      },
      watches = {
        plain = "plain:///web",
        zero = ("discov://%s/user.rpc"):format(urls[1]:match("//(.*)")),
        grpc = "named:///shop/web",
        ours = "ours:///web",
      },
    }, { plugins = { "ours" } })
  end)

  it("go-zero: an address once, for as long as one key has it", function()
    cluster:ctl("put", "user.rpc/7587862094918223", "10.0.0.1:8080")
    cluster:ctl("put", "user.rpc/7587862094918224", "10.0.0.1:8080")
    cluster:ctl("put", "user.rpc/7587862094918225", "[fd00::1]:8080")
    cluster:ctl("put", "user.rpc2/1", "10.0.0.9:8080")
    host.expect(agent, "zero", "10.0.0.1:8080 [fd00::1]:8080")
    cluster:ctl("del", "user.rpc/7587862094918224")
    cluster:ctl("put", "user.rpc/7587862094918226", "10.0.0.3:8080")
    host.expect(agent, "zero", "10.0.0.1:8080 10.0.0.3:8080 [fd00::1]:8080")
    cluster:ctl("del", "user.rpc/7587862094918223")
    host.expect(agent, "zero", "10.0.0.3:8080 [fd00::1]:8080")
  end)

  it("go-zero: an address stays for as long as one key says it, whichever says another one", function()
    cluster:ctl("put", "user.rpc/1", "10.0.1.1:80")
    cluster:ctl("put", "user.rpc/2", "10.0.1.1:80")
    host.expect(agent, "zero", "10.0.0.3:8080 10.0.1.1:80 [fd00::1]:8080")
    cluster:ctl("put", "user.rpc/2", "10.0.1.9:80") -- the newer one, which held it
    host.expect(agent, "zero", "10.0.0.3:8080 10.0.1.1:80 10.0.1.9:80 [fd00::1]:8080")
    cluster:ctl("put", "user.rpc/1", "10.0.1.9:80")
    host.expect(agent, "zero", "10.0.0.3:8080 10.0.1.9:80 [fd00::1]:8080")
    cluster:ctl("put", "user.rpc/2", "10.0.1.1:80") -- the older one
    host.expect(agent, "zero", "10.0.0.3:8080 10.0.1.1:80 10.0.1.9:80 [fd00::1]:8080")
    cluster:ctl("del", "user.rpc/1")
    cluster:ctl("del", "user.rpc/2")
    host.expect(agent, "zero", "10.0.0.3:8080 [fd00::1]:8080")
    assert.falsy(agent:log():find("two keys say one id", 1, true)) -- which is how go-zero has it
  end)

  it("plain JSON: two keys of one id, of which the newer one's facts count", function()
    cluster:ctl("put", "services/web/one", '{"ID":"d","IP":"10.0.2.1:80"}')
    cluster:ctl("put", "services/web", '{"ID":"d","IP":"10.0.2.2:80"}')
    host.expect(agent, "plain", "10.0.2.2:80")
    host.logged(agent, "two keys say one id: the one that was written last counts")
    host.logged(agent, "so does services/web/one")
    cluster:ctl("put", "services/web", '{"ID":"e","IP":"10.0.2.3:80"}')
    host.expect(agent, "plain", "10.0.2.1:80 10.0.2.3:80")
    cluster:ctl("put", "services/web", '{"ID":"d","IP":"10.0.2.4:80"}')
    host.expect(agent, "plain", "10.0.2.4:80")
    cluster:ctl("del", "services/web")
    host.expect(agent, "plain", "10.0.2.1:80")
    cluster:ctl("del", "services/web/one")
    host.expect(agent, "plain", "")
  end)

  it("plain JSON: services/NAME and services/NAME/ID, numbers as ids, ports in the address", function()
    cluster:ctl("put", "services/web", '{"ID":12345,"IP":"10.0.0.1:80"}')
    cluster:ctl("put", "services/web/b", '{"ID":"b","IP":"10.0.0.2","Port":81}')
    cluster:ctl("put", "services/web-admin", '{"ID":"c","IP":"10.0.0.3:80"}')
    host.expect(agent, "plain", "10.0.0.1:80 10.0.0.2:81")
    cluster:ctl("put", "services/web", '{"ID":12346,"IP":"10.0.0.4:80"}')
    host.expect(agent, "plain", "10.0.0.2:81 10.0.0.4:80")
    cluster:ctl("del", "services/web")
    host.expect(agent, "plain", "10.0.0.2:81")
  end)

  it("grpc-go's naming/endpoints", function()
    cluster:ctl("put", "shop/web/10.0.0.1:50051", '{"Op":0,"Addr":"10.0.0.1:50051","Metadata":null}')
    cluster:ctl("put", "shop/web/x", '{"Op":0,"Addr":"10.0.0.2:50051","Metadata":{"az":"a","n":3}}')
    host.expect(agent, "grpc", "10.0.0.1:50051 10.0.0.2:50051")
  end)

  it("what is no instance is told by its key, once, and what is none of the service's is not", function()
    local function told(key, why)
      host.logged(agent, ("key=%s"):format(key))
      local line = agent:log():match("[^\n]*left out[^\n]*key=" .. key .. "[^\n]*")
      assert.truthy(line and line:find(why, 1, true), agent:log())
    end
    cluster:ctl("put", "services/web/bad", "10.0.0.1:80")
    told("services/web/bad", "its value is no JSON object")
    cluster:ctl("put", "services/web/where", '{"ID":"w"}')
    told("services/web/where", "its value has no IP")
    cluster:ctl("put", "services/web/port", '{"ID":"w","IP":"10.0.0.1","Port":99999}')
    told("services/web/port", "port")
    cluster:ctl("put", "user.rpc/bad", "nowhere")
    told("user.rpc/bad", "its value is not host:port")
    cluster:ctl("put", "shop/web/bad", '{"Op":0,"Addr":7}')
    told("shop/web/bad", "its value has no Addr that is host:port")
    cluster:ctl("put", "services/web-admin", "of another service")
    cluster:ctl("put", "services/web/bad", "worse")
    for i = 1, 101 do
      cluster:ctl("put", "user.rpc/x" .. i, "nowhere")
    end
    host.logged(agent, "no more are told")
    assert.equal(1, select(2, agent:log():gsub("key=services/web/bad", "")))
    assert.falsy(agent:log():find("web-admin", 1, true))
    assert.equal(100, select(2, agent:log():gsub("key=user.rpc/", "")))
    cluster:ctl("del", "services/", "--prefix")
    cluster:ctl("put", "services/web/good", '{"ID":"g","IP":"10.0.3.1","Port":80}')
    host.expect(agent, "plain", "10.0.3.1:80")
  end)

  it("a layout of one's own, in a plugin of a few lines", function()
    cluster:ctl("put", "x/web@1", "0.5 10.0.0.1 80")
    cluster:ctl("put", "x/web2@1", "1 10.0.0.2 80")
    host.expect(agent, "ours", "10.0.0.1:80")
    cluster:ctl("del", "x/web@1")
    host.expect(agent, "ours", "")
  end)
end)
