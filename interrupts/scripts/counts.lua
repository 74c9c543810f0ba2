--[[
counts: how many interrupts there are in one partition, by kind and status.

KEYS    head: log card deadlines counted
ARGV    head: generation
RETURN  stand overdue counted
INCLUDE stand

generation  the live one, which KEYS were made for; if it is another one by now, RETURN ends after `stand`
overdue     how many are past their deadline, without the event that says so
counted     all fields and numbers in turn
]]
local standing, broken = stand(KEYS[1], KEYS[2])
if broken or standing[4] ~= ARGV[1] then
  return broken or standing
end
standing[10] = redis.call('ZCOUNT', KEYS[3], '-inf', string.format('%.0f', standing[1]))
standing[11] = redis.call('HGETALL', KEYS[4])
return standing
