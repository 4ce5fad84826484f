-- The simulation keeps its books and is the same each time. What its figures say is for people.
local perigee = require("spec.support.perigee")

local SIMULATE = perigee.build .. "/spec/simulate/simulate"

local function simulate(...)
  local r = perigee.run({ SIMULATE, "--seconds", "1", ... })
  assert.equal(0, r.code, r.err)
  return r.out
end

local COLUMNS = { "balancer", "knows", "calls", "answered", "errors", "timeouts", "p50", "p99", "slow", "failing", "new" }

local function rows_of(text)
  local rows = {}
  for line in text:gmatch("[^\n]+") do
    local row, i = {}, 0
    for word in line:gmatch("%S+") do
      i = i + 1
      row[COLUMNS[i] or i] = tonumber(word) or word
    end
    if row.knows == "alone" or row.knows == "host" or row.knows == "ejects" then
      table.insert(rows, row)
    end
  end
  return rows
end

describe("the simulation", function()
  local text = simulate("--seed", "7")
  local rows = rows_of(text)

  it("runs every balancer in each way", function()
    local seen = {}
    for _, row in ipairs(rows) do
      seen[row.balancer] = (seen[row.balancer] or "") .. " " .. row.knows
    end
    assert.equal(" alone host ejects", seen.p2c_ewma)
    for name, runs in pairs(seen) do
      assert.equal(" alone host ejects", runs, name)
    end
    assert.is_true(#rows >= 6)
  end)

  it("loses no call", function()
    for _, row in ipairs(rows) do
      assert.is_true(row.calls > 0)
      assert.equal(row.calls, row.answered + row.errors + row.timeouts, row.balancer)
      assert.is_true(row.slow + row.failing + row.new <= row.calls, row.balancer)
      assert.is_true(row.errors <= row.failing, "only the failing endpoint answers with errors")
      assert.is_true(row.p50 <= row.p99)
    end
  end)

  it("makes no difference to a balancer that does not go by load", function()
    local blind = { round_robin = true, random = true, weighted = true, weighted_round_robin = true }
    for i = 1, #rows, 3 do
      if blind[rows[i].balancer] then
        rows[i].knows, rows[i + 1].knows = nil, nil
        assert.same(rows[i], rows[i + 1])
      end
    end
  end)

  it("is the same for a seed, and another for another", function()
    assert.equal(text, simulate("--seed", "7"))
    assert.not_equal(text, simulate("--seed", "8"))
  end)

  it("draws a bar for each figure", function()
    local path = perigee.scratch() .. "/picture.svg"
    assert.equal(text, simulate("--seed", "7", "--svg", path))
    local picture = perigee.read(path)
    assert.matches("^<svg .*</svg>\n$", picture)
    local _, bars = picture:gsub('<rect class="%a+" x="%d+" y="%d+" width="[%d.]+"', "")
    assert.equal(3 * #rows + 3, bars) -- and three in the legend
    assert.equal(1, perigee.run({ SIMULATE, "--seconds", "1", "--svg", "/nowhere/at/all.svg" }).code)
  end)

  it("refuses what it does not know", function()
    for _, words in ipairs({ { "--sed", "1" }, { "--seed" }, { "--seconds", "0" }, { "--seed", "x" } }) do
      assert.equal(2, perigee.run({ SIMULATE, unpack(words) }).code)
    end
  end)
end)
