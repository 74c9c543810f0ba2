--[[
stand: how a view stands in a partition. Included by the scripts that read one.

RETURN  now last_id last_sequence generation version at stopped there
INCLUDE clock
INCLUDE known

last_id, last_sequence  of the log's newest entry
generation              the view's live one; '': none
version, at             of that one the version and the checkpoint; '' if there is none
stopped                 why it stands still, as JSON, or (if none is live) the newest one; '': it does not
there                   1 if the checkpoint's event is still in the log as remembered, else 0: the log was rolled back
]]
local function stand(log, card)
  local now, last_ms, last_number, sequence = clock(log)
  local standing = {now, last_ms .. '-' .. last_number, sequence, '', '', '', '', 1}
  local live = redis.call('HGET', card, 'live')
  if live then
    local of = redis.call('HMGET', card, live .. ':version', live .. ':at', live .. ':stopped')
    standing[4], standing[5], standing[6], standing[7] = live, of[1] or '', of[2] or '', of[3] or ''
    standing[8] = known(log, standing[6])
  else
    local newest = redis.call('HGET', card, 'last')
    standing[7] = newest and redis.call('HGET', card, newest .. ':stopped') or ''
  end
  return standing
end
