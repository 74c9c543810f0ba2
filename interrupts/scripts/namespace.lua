--[[
namespace: writes down what a namespace was made with, once, and tells what that was.

KEYS    meta
ARGV    wanted
RETURN  there

there  what is written there now
It is written on every call, with the same value, so that WAIT and WAITAOF on this connection cover it.
]]
local there = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], there)
return there
