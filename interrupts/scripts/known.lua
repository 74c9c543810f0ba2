--[[
known: whether a view's checkpoint still stands on the log that it was folded from. Included by other scripts.

RETURN  there

there  1 if its event is in the log as remembered, else 0: then the log was rolled back (or there is
       no checkpoint)
]]
local function known(log, at)
  local id, sequence, event = string.match(at or '', '^(%S+) (%d+) (.*)$')
  if not id then
    return 0
  end
  if id == '0-0' then
    return 1
  end
  local entry = redis.call('XRANGE', log, id, id)[1]
  if entry and entry[2][2] == sequence and string.sub(entry[2][4] or '', 1, #event) == event then
    return 1
  end
  return 0
end
