--[[
stand: how a view stands in a partition. Included by the scripts that read one.

RETURN now, then of the log's newest entry its id and number, then of the view: its live generation ('' none), version,
       checkpoint, why it is stopped ('' it is not), and 1 if the checkpoint's event is still in the log as remembered,
       else 0: then the log was rolled back
]]
local function entry_there(log, at)
  local id, sequence, event = string.match(at, '^(%S+) (%d+) (.*)$')
  if id == '0-0' then
    return 1
  end
  local entry = redis.call('XRANGE', log, id, id)[1]
  if entry and entry[2][2] == sequence and string.sub(entry[2][4], 1, #event) == event then
    return 1
  end
  return 0
end

local function stand(log, card)
  local now, last_ms, last_number, sequence = clock(log)
  local standing = {now, last_ms .. '-' .. last_number, sequence, '', '', '', '', 1}
  local live = redis.call('HGET', card, 'live')
  if live then
    local of = redis.call('HMGET', card, live .. ':version', live .. ':at', live .. ':stopped')
    standing[4], standing[5], standing[6], standing[7] = live, of[1] or '', of[2] or '', of[3] or ''
    standing[8] = entry_there(log, standing[6])
  end
  return standing
end
