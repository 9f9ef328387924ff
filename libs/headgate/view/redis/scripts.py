"""The scripts that run inside Redis, each in one step.

A full server refuses the first write of each script. So a script does all of its work or none.
"""

LEASE_MS = 10_000
"""How long a rebuild that was abandoned keeps other registries from starting theirs."""

APPLY = """
-- Writes rows and heads of one partition, together with the position that they reflect.
-- KEYS: current, lease. ARGV: prefix, current generation, lease holder, partition, base, position, channel, changes,
-- count of heads, stream, head, ..., then kind, id, data, index, ...
local prefix = ARGV[1]
if ARGV[2] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[2] then return 'gone' end
if ARGV[3] ~= '' then
  if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 'gone' end
end
if ARGV[4] ~= '' then
  local at = tonumber(redis.call('HGET', prefix .. 'positions', ARGV[4]) or '-1')
  if at >= tonumber(ARGV[6]) then return 'held' end
  if at < tonumber(ARGV[5]) then return 'gap' end
  redis.call('HSET', prefix .. 'positions', ARGV[4], ARGV[6])
end
local owned = {}
local function own(key)
  if not owned[key] then
    redis.call('SADD', prefix .. 'keys', key)
    owned[key] = true
  end
end
local function set_of(list)
  local set = {}
  for _, key in ipairs(list) do set[key] = true end
  return set
end
local function put(kind, id, data, index)
  local hash = prefix .. 'index:' .. kind
  local old = redis.call('HGET', hash, id)
  redis.call('HSET', prefix .. kind, id, data)
  if old == index then return end
  local now, was = cjson.decode(index), {t = {}, o = {}}
  if old then was = cjson.decode(old) end
  local terms_now, terms_was = set_of(now.t), set_of(was.t)
  for key in pairs(terms_was) do
    if not terms_now[key] then redis.call('SREM', prefix .. key, id) end
  end
  for key in pairs(was.o) do
    if not now.o[key] then redis.call('ZREM', prefix .. key, id) end
  end
  for key in pairs(terms_now) do
    if not terms_was[key] then
      redis.call('SADD', prefix .. key, id)
      own(key)
    end
  end
  for key, score in pairs(now.o) do
    if was.o[key] ~= score then
      redis.call('ZADD', prefix .. key, score, id)
      own(key)
    end
  end
  redis.call('HSET', hash, id, index)
end
local at = 10
for _ = 1, tonumber(ARGV[9]) do
  redis.call('HSET', prefix .. 'heads', ARGV[at], ARGV[at + 1])
  at = at + 2
end
while ARGV[at] do
  put(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  at = at + 4
end
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[2], LEASE_MS) end
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[7], ARGV[8]) end
return 'written'
""".replace("LEASE_MS", str(LEASE_MS))

BEGIN = """
-- Takes the lease to build a generation. The caller may hold it from an earlier attempt that failed.
-- KEYS: lease, generations. ARGV: generation, the caller's earlier generation, milliseconds.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
return 1
"""

SWITCH = """
-- Makes a finished generation the current one, unless it is behind the present one.
-- KEYS: current, lease. ARGV: root, generation, expected current, force, channel.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'gone' end
local old = redis.call('GET', KEYS[1]) or ''
if old ~= ARGV[3] then return 'gone' end
if old ~= '' and ARGV[4] == '' then
  local before = redis.call('HGETALL', ARGV[1] .. old .. ':positions')
  for i = 1, #before, 2 do
    local now = redis.call('HGET', ARGV[1] .. ARGV[2] .. ':positions', before[i]) or '-1'
    if tonumber(now) < tonumber(before[i + 1]) then return 'behind' end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[5], '[]')
return 'switched'
"""

STATE = """
-- The current generation with its positions and heads, all of the same moment. KEYS: current. ARGV: root.
local current = redis.call('GET', KEYS[1])
if not current then return {'', {}, {}} end
local prefix = ARGV[1] .. current .. ':'
return {current, redis.call('HGETALL', prefix .. 'positions'), redis.call('HGETALL', prefix .. 'heads')}
"""

FIND = """
-- The next rows of an order that are in all given sets, with the positions of the same moment.
-- KEYS: current. ARGV: root, schema, kind, order, descending, value and id of the last row of the previous page,
-- most rows to return, most rows to scan, count of term sets, term sets ..., orders that must contain a row ...
local current = redis.call('GET', KEYS[1])
if not current then return {''} end
if string.sub(current, 1, #ARGV[2] + 1) ~= ARGV[2] .. ':' then return {current} end
local prefix = ARGV[1] .. current .. ':'
local order, descending = prefix .. ARGV[4], ARGV[5] ~= ''
local value, behind = ARGV[6], ARGV[7]
local most, look = tonumber(ARGV[8]), tonumber(ARGV[9])
local sets, orders = {}, {}
for i = 1, tonumber(ARGV[10]) do sets[i] = prefix .. ARGV[10 + i] end
for i = 11 + #sets, #ARGV do orders[#orders + 1] = prefix .. ARGV[i] end

local function less(a, b)  -- compares bytes, as Redis does
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local function is_after(id, score)
  if behind == '' then return true end
  local x, y = tonumber(score), tonumber(value)
  if x ~= y then return (x > y) ~= descending end
  return id ~= behind and less(behind, id) ~= descending
end

local ids, scores, looked, last_id, last_score, ended = {}, {}, 0, behind, value, 0
local smallest = redis.call('ZCARD', order)
for _, key in ipairs(sets) do smallest = math.min(smallest, redis.call('SCARD', key)) end
for _, key in ipairs(orders) do smallest = math.min(smallest, redis.call('ZCARD', key)) end

local function intersect()
  local call = {'ZINTER', 1 + #sets + #orders, order}
  for _, key in ipairs(sets) do call[#call + 1] = key end
  for _, key in ipairs(orders) do call[#call + 1] = key end
  call[#call + 1] = 'WEIGHTS'
  call[#call + 1] = 1
  for _ = 1, #sets + #orders do call[#call + 1] = 0 end
  call[#call + 1] = 'WITHSCORES'
  local found = redis.call(unpack(call))
  local from, to, step = 1, #found - 1, 2
  if descending then from, to, step = #found - 1, 1, -2 end
  for i = from, to, step do
    if is_after(found[i], found[i + 1]) then
      if #ids == most then return end
      ids[#ids + 1], scores[#scores + 1] = found[i], found[i + 1]
      last_id, last_score = found[i], found[i + 1]
    end
  end
  ended = 1
end

local function first_rank()
  if behind == '' then return 0 end
  -- Rows with the same value are sorted by id. A binary search also works when the last row has moved or is gone.
  local low, high = redis.call('ZCOUNT', order, '-inf', '(' .. value), redis.call('ZCOUNT', order, '-inf', value)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local id = redis.call('ZRANGE', order, middle, middle)[1]
    if less(id, behind) or (id == behind and not descending) then low = middle + 1 else high = middle end
  end
  if descending then return redis.call('ZCARD', order) - low end
  return low
end

local function walk()
  local rank = first_rank()
  while true do
    local call = {'ZRANGE', order, rank, rank + 255}
    if descending then call[#call + 1] = 'REV' end
    call[#call + 1] = 'WITHSCORES'
    local found = redis.call(unpack(call))
    if #found == 0 then ended = 1 return end
    local names, inside = {}, {}
    for i = 1, #found, 2 do names[#names + 1] = found[i] end
    for i = 1, #names do inside[i] = true end
    for _, key in ipairs(sets) do
      for i, is in ipairs(redis.call('SMISMEMBER', key, unpack(names))) do inside[i] = inside[i] and is == 1 end
    end
    for _, key in ipairs(orders) do
      for i, is in ipairs(redis.call('ZMSCORE', key, unpack(names))) do inside[i] = inside[i] and is ~= false end
    end
    for i, id in ipairs(names) do
      if #ids == most or looked == look then return end
      looked, last_id, last_score = looked + 1, id, found[2 * i]
      if inside[i] then ids[#ids + 1], scores[#scores + 1] = id, found[2 * i] end
    end
    rank = rank + #names
  end
end

-- ZINTER gives a row the order 0 when it multiplies an infinite score by its weight of 0.
local function all_finite()
  for _, key in ipairs(orders) do
    for _, rank in ipairs({0, -1}) do
      local score = redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2]
      if score == 'inf' or score == '-inf' then return false end
    end
  end
  return true
end

if #sets + #orders > 0 and smallest <= look and all_finite() then intersect() else walk() end
local rows = {}
if #ids > 0 then rows = redis.call('HMGET', prefix .. ARGV[3], unpack(ids)) end
return {current, redis.call('HGETALL', prefix .. 'positions'), ids, scores, rows, last_id, last_score, ended}
"""

GET = """
-- Rows by id, with the positions of the same moment. KEYS: current. ARGV: root, schema, kind, id ...
local current = redis.call('GET', KEYS[1])
if not current then return {''} end
if string.sub(current, 1, #ARGV[2] + 1) ~= ARGV[2] .. ':' then return {current} end
local prefix = ARGV[1] .. current .. ':'
return {current, redis.call('HGETALL', prefix .. 'positions'), redis.call('HMGET', prefix .. ARGV[3], unpack(ARGV, 4))}
"""
