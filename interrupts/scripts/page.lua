--[[
page: the next interrupts of a view in one partition, in order, and how the view stands.

KEYS    head: log card
        index: key
ARGV    head: generation interrupts status after limit scan bytes groups
        group: keys
RETURN  stand scanned more
        item: text
INCLUDE gather
INCLUDE indexes
INCLUDE stand

generation  the live one, which KEYS were made for; if it is another one by now, RETURN ends after `stand`
interrupts  how the interrupts' keys begin: what is found there is read, in the same slot
status, after, limit, scan, bytes   see `gather`

scanned     the number up to which everything was looked at; '' for nothing
more        1 if there may be more behind it
text        what the interrupt's key holds
]]
local standing, broken = stand(KEYS[1], KEYS[2])
if broken or standing[4] ~= ARGV[1] then
  return broken or standing
end

local function read(ids)
  if #ids == 0 then
    return {}, {}
  end
  local keys, lengths = {}, {}
  for i = 1, #ids do
    keys[i] = ARGV[2] .. ids[i]
  end
  local texts = redis.call('MGET', unpack(keys))
  for i = 1, #ids do
    lengths[i] = texts[i] and #texts[i] or 0
  end
  return texts, lengths
end

local source, _, in_others = indexes(3, 8)
local texts = 0
local scanned, _, more = gather(source, in_others, ARGV[4], ARGV[3], standing[1], tonumber(ARGV[5]), tonumber(ARGV[6]),
  tonumber(ARGV[7]), read, function(_, text)
    texts = texts + 1
    standing[11 + texts] = text
  end)
standing[10], standing[11] = scanned, more
return standing
