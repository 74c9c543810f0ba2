--[[
due: what is past its deadline in a partition, the longest overdue first, and when the next deadline is.

KEYS    head: log deadlines
ARGV    head: interrupts limit bytes known...
RETURN  now next wait due...
INCLUDE clock

interrupts  how the interrupts' keys begin: they are in the same slot
limit       at most so many are told
bytes       after so many of what the keys hold, no more are told
known       ids of which only so much is told that a change is seen: till then they can't be expired
next        the first deadline that is not past, in milliseconds; '' if there is none; an error if the deadlines can't
            be read, and then nothing is due
wait        in how many milliseconds it is past, by the server's clock; '' if there is none. That is more than until
            `next`, if the log is ahead of that clock
due         id and text in turn: the text is what the interrupt's key holds; nil if it is not there, an error
            if it can't be read. Of what is known its first and last bytes, and its length in between; '' if it can't
            be read
]]
local KNOWN_BYTES = 64
local now = clock(KEYS[1])
local at = string.format('%.0f', now)
local next = redis.pcall('ZRANGEBYSCORE', KEYS[2], '(' .. at, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
if next.err then
  return {now, next, ''}
end
local time = redis.call('TIME')
local wait = next[2] and math.max(1, next[2] - time[1] * 1000 - math.floor(time[2] / 1000)) or ''
local known = {}
for i = 4, #ARGV do
  known[ARGV[i]] = true
end
local reply, left = {now, next[2] or '', wait}, tonumber(ARGV[3])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at, 'LIMIT', 0, ARGV[2])) do
  if left < 0 then
    break
  end
  local text
  if known[id] then
    local key = ARGV[1] .. id
    text = redis.pcall('GETRANGE', key, 0, KNOWN_BYTES - 1)
    text = type(text) == 'string' and text .. redis.call('STRLEN', key) .. redis.call('GETRANGE', key, -KNOWN_BYTES, -1)
      or ''
  else
    text = redis.pcall('GET', ARGV[1] .. id)
    left = left - (type(text) == 'string' and #text or 0)
  end
  reply[#reply + 1], reply[#reply + 2] = id, text
end
return reply
