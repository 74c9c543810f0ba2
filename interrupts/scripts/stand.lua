--[[
stand: how a view stands in a partition. Included by the scripts that read one.

RETURN now, then of the log's newest entry its id and number, then of the view: its live generation ('' none), version,
       checkpoint, why it is stopped ('' it is not), and 1 if the checkpoint's event is still in the log as remembered,
       else 0: then the log was rolled back
INCLUDE clock
INCLUDE known
]]
local function stand(log, card)
  local now, last_ms, last_number, sequence = clock(log)
  local standing = {now, last_ms .. '-' .. last_number, sequence, '', '', '', '', 1}
  local live = redis.call('HGET', card, 'live')
  if live then
    local of = redis.call('HMGET', card, live .. ':version', live .. ':at', live .. ':stopped')
    standing[4], standing[5], standing[6], standing[7] = live, of[1] or '', of[2] or '', of[3] or ''
    standing[8] = known(log, standing[6])
  end
  return standing
end
