--[[
heads: where the next interrupts of a view are in one partition, in order, and how the view stands.

KEYS    head: log card
        index: key
ARGV    head: generation interrupts status after limit scan bytes groups
        group: keys
RETURN  stand scanned reached more
        item: sequence id place size
INCLUDE gather
INCLUDE indexes
INCLUDE stand

generation  the live one, which KEYS were made for; if it is another one by now, RETURN ends after `stand`
interrupts  how the interrupts' keys begin: the heads of what is found there are read, in the same slot
status, after, limit, scan, bytes   see `gather`

scanned     the number up to which everything was looked at; '' for nothing
reached     the stream id of the creation of the one with that number; '' for nothing
more        1 if there may be more behind it
place       the stream id of its creation
size        how many bytes its key holds
]]
local HEAD_BYTES = 64
local standing, broken = stand(KEYS[1], KEYS[2])
if broken or standing[4] ~= ARGV[1] then
  return broken or standing
end

local function read(ids)
  local heads, lengths = {}, {}
  for i = 1, #ids do
    -- A key of another type is left out, as `page` does it; `verify` tells of it.
    local head = redis.pcall('GETRANGE', ARGV[2] .. ids[i], 0, HEAD_BYTES - 1)
    heads[i] = type(head) == 'string' and head or ''
    lengths[i] = heads[i] ~= '' and redis.call('STRLEN', ARGV[2] .. ids[i]) or 0
  end
  return heads, lengths
end

local function place_in(head)
  return string.match(head, '^%d+%l%d*\n(%d+%-%d+) ')
end

local source, _, in_others = indexes(3, 8)
local at = 13
local scanned, last_id, more = gather(source, in_others, ARGV[4], ARGV[3], standing[1], tonumber(ARGV[5]),
  tonumber(ARGV[6]), tonumber(ARGV[7]), read, function(id, head, size, number_of)
    standing[at], standing[at + 1], standing[at + 2], standing[at + 3] = number_of(id), id, place_in(head), size
    at = at + 4
  end)
standing[10], standing[12] = scanned, more
standing[11] = last_id and place_in(read({last_id})[1]) or ''
return standing
