--[[
views: how the views stand in one partition: for those who fold them, and for operators.

KEYS    head: log
        view: card
ARGV    
RETURN  now last_id last_sequence
        view: card there next_id
INCLUDE clock
INCLUDE known

card     all fields and values of the card, in turn
there    of its live generation: 1 if the checkpoint's event is still in the log as remembered, else 0
next_id  the id of the first event that it has not folded; '' if there is none
]]
local now, last_ms, last_number, sequence = clock(KEYS[1])
local reply = {now, last_ms .. '-' .. last_number, sequence}
for view = 2, #KEYS do
  local live = redis.call('HGET', KEYS[view], 'live')
  local there, next_id = 1, ''
  if live then
    local at = redis.call('HGET', KEYS[view], live .. ':at')
    there = known(KEYS[1], at)
    local entries = redis.call('XRANGE', KEYS[1], '(' .. string.match(at, '^%S+'), '+', 'COUNT', 1)
    next_id = entries[1] and entries[1][1] or ''
  end
  reply[#reply + 1] = redis.call('HGETALL', KEYS[view])
  reply[#reply + 1] = there
  reply[#reply + 1] = next_id
end
return reply
