--[[
enlist: makes a group of reactions known in a partition, and says where it starts, if it is not there yet.

KEYS    log card
ARGV    start
RETURN  at

start  'beginning', 'now', '<ms>' (what is in the log from that time on), or a stream id (what comes after it)
at     the checkpoint that it stands on now: the place of an event, its number, and how it begins
]]
local EVENT_BYTES = 64
local at = redis.call('HGET', KEYS[2], 'at')
if at then
  return at
end
local upto
if ARGV[1] == 'now' then
  upto = '+'
elseif string.match(ARGV[1], '^0*[1-9]%d*$') then
  upto = '(' .. ARGV[1] .. '-0'
elseif string.match(ARGV[1], '^0+$') then
  upto = nil -- nothing is before that
elseif ARGV[1] ~= 'beginning' then
  upto = ARGV[1]
end
local entry = upto and redis.call('XREVRANGE', KEYS[1], upto, '-', 'COUNT', 1)[1]
if entry then
  local number = string.match(entry[2][2], '^%d+$')
  number = number and #number < 16 and number or '0'
  at = entry[1] .. ' ' .. number .. ' ' .. string.sub(entry[2][4] or '', 1, EVENT_BYTES)
else
  at = '0-0 0 '
end
redis.call('HSET', KEYS[2], 'at', at)
return at
