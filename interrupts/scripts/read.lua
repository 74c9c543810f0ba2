--[[
read: the time in each partition, and what the keys of interrupts hold.

KEYS    partition: log
        item: interrupt
ARGV    head: partitions
        partition: items
RETURN  partition: now
        item: text
INCLUDE clock

KEYS has all partitions, then all items; items stand in the order of their partitions, and RETURN has a partition and
its items, then the next one. text is nil where there is no such interrupt, and an error where its key
can't be read: the others are read all the same.
]]
local partitions = tonumber(ARGV[1])
local key_at = partitions
local reply, r = {}, 0

for partition = 1, partitions do
  r = r + 1
  reply[r] = clock(KEYS[partition])
  for _ = 1, tonumber(ARGV[1 + partition]) do
    key_at = key_at + 1
    r = r + 1
    reply[r] = redis.pcall('GET', KEYS[key_at])
  end
end
return reply
