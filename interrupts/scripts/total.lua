--[[
total: how many interrupts of a view are in one index of each group, in one partition.

KEYS    head: log card deadlines
        index: key
ARGV    head: generation scan groups
        group: keys
RETURN  stand total exact
INCLUDE indexes
INCLUDE stand

For one group it is what the indexes hold without what is overdue; for several, each id of the smallest is asked for in
the others, at most `scan` of them. exact is 0 if that bound, or as many overdue ones, was reached: then it is a lower,
or (overdue) an upper bound.
]]
local standing, broken = stand(KEYS[1], KEYS[2])
if broken or standing[4] ~= ARGV[1] then
  return broken or standing
end
local scan, count = tonumber(ARGV[2]), tonumber(ARGV[3])
local call = redis.call
local source, fewest, in_others = indexes(4, 3)

local overdue, is_overdue = call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', standing[1]), 'LIMIT', 0, scan), {}
local total, exact = 0, #overdue < scan and 1 or 0
for _, id in ipairs(overdue) do
  is_overdue[id] = true
end
if count == 1 then
  total = fewest
  for _, id in ipairs(overdue) do
    for _, key in ipairs(source) do
      if call('ZSCORE', key, id) then
        total = total - 1
      end
    end
  end
else
  for _, key in ipairs(source) do
    local ids = call('ZRANGE', key, 0, scan - 1)
    if #ids == scan then
      exact = 0
    end
    for _, id in ipairs(ids) do
      if not is_overdue[id] and in_others(id) then
        total = total + 1
      end
    end
  end
end
standing[10], standing[11] = total, exact
return standing
