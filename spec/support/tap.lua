-- tap: reads what a test program printed (Test Anything Protocol, as cmocka and busted write it)
-- into counts and failures.

local tap = {}

-- Returns { passed, failed, skipped, problems = { "name\n  detail", ... }, skips = { "reason" } },
-- and `short`, a text, when its plan was not fulfilled.
function tap.read(text)
  local result = { passed = 0, failed = 0, skipped = 0, problems = {}, skips = {} }
  local planned, seen, problem = nil, 0, nil
  for line in text:gmatch("[^\n]+") do
    local plan = line:match("^1%.%.(%d+)")
    local bad, name = line:match("^(n?o?t? ?)ok %d+%s*%-?%s*(.*)")
    if plan then
      -- cmocka prints a plan for each group of a program, numbered from 1 again.
      planned = (planned or 0) + tonumber(plan)
    elseif name and (bad == "" or bad == "not ") then
      seen = seen + 1
      problem = nil
      -- cmocka 1.1.5 says "not ok 3 # SKIP name", busted "ok 3 - # SKIP name".
      if name:find("# SKIP", 1, true) then
        result.skipped = result.skipped + 1
        table.insert(result.skips, (name:gsub("^.*# SKIP%s*", "")))
      elseif bad == "" then
        result.passed = result.passed + 1
      else
        result.failed = result.failed + 1
        problem = #result.problems + 1
        result.problems[problem] = name
      end
    elseif problem and line:sub(1, 1) == "#" then
      result.problems[problem] = result.problems[problem] .. "\n    " .. line:sub(3)
    end
  end
  if planned ~= seen then
    result.short = planned and string.format("planned %d tests, ran %d", planned, seen) or "printed no TAP plan"
  end
  return result
end

return tap
