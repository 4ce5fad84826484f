local options = { url = "http://inventory.test/hosts?role=${service}", map = { each = "items", address = "ip" } }

local function answer(etag, ...)
  local items = {}
  for i, id in ipairs({ ... }) do
    items[i] = { id = id, ip = "10.0.0." .. i, port = 80 }
  end
  return { json = { items = items }, headers = { ETag = etag } }
end

it("follows the list, and asks with the version it knows", function(t)
  local web = t:use(options):watch("inventory:///web")
  t.http["/hosts?role=web"] = answer('"1"', "a", "b")
  t:advance("1s")
  assert.same({ "a", "b" }, web:ids())
  assert.equal("10.0.0.2", web:instances()[2].address)

  t.http["/hosts?role=web"] = function(request)
    return request.headers["if-none-match"] == '"1"' and 304 or 500
  end
  t:advance("5s")
  assert.equal(nil, web.stale)
  assert.same({ "a", "b" }, web:ids())

  t.http["/hosts?role=web"] = answer('"2"', "b")
  t:advance("5s")
  assert.same({ "b" }, web:ids())
end)

it("keeps the list while the server fails, or answers nonsense", function(t)
  local web = t:use(options):watch("inventory:///web")
  t.http["/hosts"] = answer('"1"', "a")
  t:advance("1s")
  for _, nonsense in ipairs({ 503, "ECONNREFUSED", { body = "<html>" }, { json = { items = { { id = "x" } } } } }) do
    t.http["/hosts"] = nonsense
    t:advance("1m")
    assert.same({ "a" }, web:ids())
    assert(web.stale)
  end
end)
