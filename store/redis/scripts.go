package redis

import "github.com/redis/go-redis/v9"

// Each script has one key, and its first argument is the time, microseconds
// since 1970; 0 for the server's own. A value is kept with its end before it,
// and a limit as a hash of its tokens and when they were counted.

const clock = `
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000000 + t[2]
end
`

const unlessEnded = `
if not kept then return false end
local space = string.find(kept, ' ', 1, true)
if now >= tonumber(string.sub(kept, 1, space - 1)) then return false end
return string.sub(kept, space + 1)
`

// get returns the value; nil for none.
var get = redis.NewScript(clock + `local kept = redis.call('GET', KEYS[1])` + unlessEnded)

// take returns the value and removes it.
var take = redis.NewScript(clock + `local kept = redis.call('GETDEL', KEYS[1])` + unlessEnded)

// set keeps ARGV[2] for ARGV[3] microseconds.
var set = redis.NewScript(clock + `
local life = tonumber(ARGV[3])
redis.call('SET', KEYS[1], string.format('%.0f', now + life) .. ' ' .. ARGV[2], 'PX', math.ceil(life / 1000))
return 1
`)

// enter makes ARGV[2] one of a set for ARGV[4] microseconds, unless there are
// ARGV[3] others. A set is kept sorted by when its members end.
var enter = redis.NewScript(clock + `
local most, life = tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
if most > 0 and not redis.call('ZSCORE', KEYS[1], ARGV[2]) and redis.call('ZCARD', KEYS[1]) >= most then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + life), ARGV[2])
local ms = math.ceil(life / 1000)
if redis.call('PTTL', KEYS[1]) < ms then redis.call('PEXPIRE', KEYS[1], ms) end
return 1
`)

// leave takes ARGV[2] out of a set.
var leave = redis.NewScript(`return redis.call('ZREM', KEYS[1], ARGV[2])`)

// allow spends a token of a bucket that ARGV[2] a second fill up to ARGV[3]. It
// returns whether there was one, how many whole ones are left, and microseconds
// until there is one more. A bucket that is full again is forgotten.
var allow = redis.NewScript(clock + `
local rate, burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local almost = 1 - 1e-9 -- but for what adding up fractions may have lost
local had = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(had[1] or burst), tonumber(had[2] or now)
tokens = math.min(burst, tokens + math.max(0, now - at) / 1e6 * rate)
local ok = 0
if tokens >= almost then
  ok = 1
  tokens = math.max(0, tokens - 1)
end
local left = math.floor(tokens + 1 - almost)
local wait = math.min(math.ceil((left + 1 - tokens) / rate * 1e6), 2^52)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.min(math.ceil(burst / rate * 1000) + 1000, 2^42))
return {ok, left, wait}
`)
