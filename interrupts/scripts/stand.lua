--[[
stand: how a view stands in a partition. Included by the scripts that read one.

RETURN  now last_id last_sequence generation version at stopped there waiting_ms
INCLUDE clock
INCLUDE known

last_id, last_sequence  of the log's newest entry
generation              the view's live one; '': none
version, at             of that one the version and the checkpoint; '' if there is none
stopped                 why it stands still, as JSON, or (if none is live) the newest one; '': it does not
there                   1 if the checkpoint's event is still in the log as remembered, else 0: the log was rolled back
waiting_ms              for how long the first event that is not folded has been waiting; 0 if there is none
]]
local function stand(log, card)
  local now, last_ms, last_number, sequence, broken = clock(log)
  if broken then
    return nil, redis.error_reply(broken)
  end
  local standing = {now, last_ms .. '-' .. last_number, sequence, '', '', '', '', 1, 0}
  local live = redis.call('HGET', card, 'live')
  if live then
    local of = redis.call('HMGET', card, live .. ':version', live .. ':at', live .. ':stopped')
    standing[4], standing[5], standing[6], standing[7] = live, of[1] or '', of[2] or '', of[3] or ''
    standing[8] = known(log, standing[6])
    local id, folded = string.match(standing[6], '^(%d+%-%d+) (%d+) ')
    if id and sequence > tonumber(folded) then
      local first = redis.call('XRANGE', log, '(' .. id, '+', 'COUNT', 1)[1]
      standing[9] = first and now - string.match(first[1], '^%d+') or 0
    end
  else
    local newest = redis.call('HGET', card, 'last')
    standing[7] = newest and redis.call('HGET', card, newest .. ':stopped') or ''
  end
  return standing
end
