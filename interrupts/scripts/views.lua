--[[
views: how the views stand in one partition: for those who fold them, and for operators.

KEYS    head: log
        view: card
ARGV    
RETURN  now last_id last_sequence first_id
        view: card generations
INCLUDE clock
INCLUDE known

first_id     of the first event of the log; '' in an empty one
card         all fields and values of the card, in turn
generations  for each generation on the card: its number, 1 if the event of its checkpoint is still in the log as
             remembered (else 0), and the id of the first event that it has not folded ('' none)
]]
local log = KEYS[1]
local now, last_ms, last_number, sequence = clock(log)
local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
local reply = {now, last_ms .. '-' .. last_number, sequence, first and first[1] or ''}
for view = 2, #KEYS do
  local card, generations = redis.call('HGETALL', KEYS[view]), {}
  for f = 1, #card, 2 do
    local number = string.match(card[f], '^(%d+):version$')
    if number then
      local at = redis.call('HGET', KEYS[view], number .. ':at') or ''
      local id = string.match(at, '^%d+%-%d+') or '0-0'
      local entry = redis.call('XRANGE', log, '(' .. id, '+', 'COUNT', 1)[1]
      local g = #generations
      generations[g + 1], generations[g + 2], generations[g + 3] = number, known(log, at), entry and entry[1] or ''
    end
  end
  reply[#reply + 1] = card
  reply[#reply + 1] = generations
end
return reply
