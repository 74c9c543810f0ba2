--[[
release: takes events out of what is parked: to be handled again, or not at all; and hands events to a group once more.

KEYS    card held parked
ARGV    what room id...
RETURN  done...

what  again: from what is parked to what is held; drop: out of what is parked; feed: to what is held, wherever it was
room  how many may be held; beyond it nothing is done
done  the ids with which it was done
]]
local what, room = ARGV[1], tonumber(ARGV[2]) - redis.call('HLEN', KEYS[2])
local done = {}
for i = 3, #ARGV do
  local id = ARGV[i]
  if what == 'drop' then
    if redis.call('HDEL', KEYS[3], id) == 1 then
      done[#done + 1] = id
    end
  elseif room > 0 and (what == 'feed' or redis.call('HEXISTS', KEYS[3], id) == 1) then
    redis.call('HDEL', KEYS[3], id)
    if redis.call('HSETNX', KEYS[2], id, '0 w ') == 1 then
      room = room - 1
    end
    done[#done + 1] = id
  end
end
if what ~= 'drop' and #done > 0 then
  redis.call('HINCRBY', KEYS[1], 'news', 1)
end
return done
