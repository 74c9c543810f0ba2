--[[
clock: the one clock and the one counter of a partition. Included by the scripts that need them.

now = max(server time, time of the last entry), in milliseconds, so time never runs back within a partition, when the
server's clock steps or a replica with a slower one takes over. The sequence number is the server's own count of the
entries ever added to the stream: it survives trimming, even of everything.

RETURN now, last_ms, last_number, sequence   (of the last entry; all 0 in an empty log), and the server's error if the
       log's key can't be read
]]
local function clock(log)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local info = redis.pcall('XINFO', 'STREAM', log)
  if info.err then
    return now, 0, 0, 0, redis.call('EXISTS', log) == 1 and info.err or nil
  end
  local last_ms, last_number, sequence = 0, 0, 0
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local ms, number = string.match(info[i + 1], '^(%d+)-(%d+)$')
      last_ms, last_number = tonumber(ms), tonumber(number)
    elseif info[i] == 'entries-added' then
      sequence = tonumber(info[i + 1])
    end
  end
  if last_ms > now then
    now = last_ms
  end
  return now, last_ms, last_number, sequence
end
