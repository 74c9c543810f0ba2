--[[
mend: puts right what is counted of a user, if it still is what was found to be wrong: then nothing was counted since.

KEYS    counts
ARGV    group found right
RETURN  done
INCLUDE weigh

group   whose creations are counted wrongly
found   the tally that was found there; '': none
right   the one that should be there; '': none
done    1, or 0 if something else is there by now
What an operator has forgiven of these creations counts again: it may have been taken from what was wrong.
]]
local created, forgiven = '+' .. ARGV[1], '-' .. ARGV[1]
local there = redis.call('HGET', KEYS[1], created) or ''
if there ~= ARGV[2] then
  return 0
end
redis.call('HDEL', KEYS[1], forgiven)
local calls = redis.call('HGET', KEYS[1], '=' .. ARGV[1])
if calls then -- a refusal may be remembered for what was wrong
  redis.call('HSET', KEYS[1], '=' .. ARGV[1], without_refusal(calls))
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], created)
else
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], created, ARGV[3])
  redis.call('PEXPIREAT', KEYS[1], expiry(max(time[1] * 1000, parse(ARGV[3])[1])))
end
return 1
