--[[
page: the next interrupts of a view in one partition, in order, and how the view stands.

KEYS    head: log card
        index: key
ARGV    head: generation interrupts status after limit scan bytes bodies groups
        group: keys
RETURN  stand scanned reached more
        item: [sequence id place size]
INCLUDE indexes
INCLUDE stand

generation  the live one, which KEYS were made for; if it is another one by now, RETURN ends after `stand`
interrupts  how the interrupts' keys begin: what is found there is read, in the same slot
status      'pending': oldest first, and only what its own key says is pending and not overdue; 'closed': newest first
after       the number after which to go on; '': from the start
limit, scan, bytes   how many to return, to look at, and bytes to return at most (but always one)
bodies      '1': `size` is what the interrupt's key holds; else its length in bytes

scanned     the number up to which everything was looked at; '' for nothing
reached     the stream id of the creation of the one with that number; '' for nothing
more        1 if there may be more behind it
place       the stream id of its creation
]]
local standing = stand(KEYS[1], KEYS[2])
if standing[4] ~= ARGV[1] then
  return standing
end
local now, interrupts, pending = standing[1], ARGV[2], ARGV[3] == 'pending'
local after, limit, scan, bytes, bodies = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local call, match = redis.call, string.match

local source, _, in_others = indexes(3, 9)

-- The next `count` of the source, as pairs of id and number.
local function next_of(source_after, count)
  local found = {}
  for _, key in ipairs(source) do
    local members
    if pending then
      members = call('ZRANGEBYSCORE', key, source_after == '' and '-inf' or '(' .. source_after, '+inf',
        'WITHSCORES', 'LIMIT', 0, count)
    else
      members = call('ZREVRANGEBYSCORE', key, source_after == '' and '+inf' or '(' .. source_after, '-inf',
        'WITHSCORES', 'LIMIT', 0, count)
    end
    for m = 1, #members, 2 do
      found[#found + 1] = {members[m], members[m + 1]}
    end
  end
  if #source > 1 then
    table.sort(found, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end)
  end
  return found
end

local items, scanned, reached, last_id, more, found, looked = {}, '', '', nil, 0, 0, 0
repeat
  local count = math.min(scan - looked, limit - found + 1)
  local candidates = next_of(scanned == '' and after or scanned, count)
  more = #candidates >= count and 1 or 0
  for c = 1, math.min(count, #candidates) do
    local id, sequence = candidates[c][1], candidates[c][2]
    if found == limit or (found > 0 and bytes <= 0) then
      more = 1
      looked = scan
      break
    end
    looked = looked + 1
    if in_others(id) then
      local key = interrupts .. id
      local there = bodies and call('GET', key) or call('GETRANGE', key, 0, 63)
      local letter, deadline, place = match(there or '', '^%d+(%l)(%d*)\n(%d+%-%d+) ')
      if letter and (letter == 'p') == pending and (not pending or deadline == '' or tonumber(deadline) > now) then
        local size = bodies and #there or call('STRLEN', key)
        bytes = bytes - size
        found = found + 1
        items[#items + 1] = {sequence, id, place, bodies and there or size}
      end
    end
    scanned, last_id = sequence, id
  end
until more == 0 or looked >= scan
if last_id then
  reached = match(call('GETRANGE', interrupts .. last_id, 0, 63), '^%d+%l%d*\n(%d+%-%d+) ') or ''
end
standing[9], standing[10], standing[11] = scanned, reached, more
for i = 1, #items do
  standing[11 + i] = items[i]
end
return standing
