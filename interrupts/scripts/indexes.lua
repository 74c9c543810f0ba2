--[[
indexes: groups of indexes, of which one is gone through and the others are asked. Included by the scripts that list.

An index is a sorted set of interrupts' ids by the number of an event. What is asked for is in one index of each group.
The group with the fewest ids is gone through, so that the cost follows what is rarest.

first_key, first_arg  where in KEYS the indexes begin, and where in ARGV the number of groups stands, before their sizes

RETURN  source fewest in_others

source     the indexes to go through
fewest     how many ids they hold together
in_others  a function: whether an id is in each other group
]]
local function indexes(first_key, first_arg)
  local groups, chosen, fewest, key_at = {}, 1, nil, first_key
  for g = 1, tonumber(ARGV[first_arg]) do
    local group, size = {}, 0
    for _ = 1, tonumber(ARGV[first_arg + g]) do
      group[#group + 1] = KEYS[key_at]
      size = size + redis.call('ZCARD', KEYS[key_at])
      key_at = key_at + 1
    end
    groups[g] = group
    if not fewest or size < fewest then
      chosen, fewest = g, size
    end
  end
  local source = table.remove(groups, chosen)
  local function in_others(id)
    for _, group in ipairs(groups) do
      local inside = false
      for _, key in ipairs(group) do
        inside = inside or redis.call('ZSCORE', key, id)
      end
      if not inside then
        return false
      end
    end
    return true
  end
  return source, fewest, in_others
end
