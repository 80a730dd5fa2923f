#!/usr/bin/env bash
# Records the embedded traces again: runs each program under heaptrack or valgrind, imports the
# recording, and leaves NAME.slabtrace beside this script. Inputs are generated here, so nothing is
# downloaded. Programs differ between systems; so will the traces.
#
#     record.sh [NAME...]        all of them if no name is given
#
# Debian: apt-get install heaptrack valgrind sqlite3 python3 g++ git jq libxml2-utils \
#         redis-server redis-tools nginx-light curl bc lua5.4 mawk \
#         imagemagick
set -euo pipefail

traces=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# The two recorders. heaptrack appends .raw.zst to the name.
heap() {
    local name=$1
    shift
    heaptrack --raw -o "$work/$name" "$@" >"$work/$name.out" 2>&1
}
valg() {
    local name=$1
    shift
    valgrind --tool=memcheck --leak-check=no --undef-value-errors=no --trace-malloc=yes \
        --log-file="$work/$name.log" "$@" >"$work/$name.out" 2>&1
}

# A pseudo-random sequence that is the same everywhere.
numbers() {
    awk -v n="$1" 'BEGIN { x = 12345; for (i = 0; i < n; i++) { x = (x * 1103515245 + 12345) % 2147483648; print x } }'
}

record_mawk() {
    numbers 20000 | awk '{ printf "%d: host%d user=%d status=%d\n", NR, $1 % 50, $1, $1 % 7 }' >access.txt
    heap mawk mawk '{ n[$2]++; s = s substr($3, 6, 3) $4; if (length(s) > 200) s = "" } END { for (k in n) print k, n[k] }' access.txt
}

record_bc() {
    echo 'scale=90; for (i=1; i<700; i++) s += sqrt(i)/i; s; 4*a(1); e(1)' >sums.bc
    heap bc bc -lq sums.bc
}

record_lua() {
    cat >words.lua <<'LUA'
local words, text = {}, {}
for i = 1, 900 do text[#text + 1] = "w" .. (i * 7919 % 211) .. (i % 3 == 0 and "x" or "") end
for round = 1, 24 do
  for _, w in ipairs(text) do
    local entry = words[w] or { n = 0, at = {} }
    entry.n = entry.n + 1
    entry.at[#entry.at + 1] = round
    words[w] = entry
  end
  if round % 2 == 0 then words = {} end
end
local keys = {}
for k, v in pairs(words) do keys[#keys + 1] = k .. "=" .. v.n end
table.sort(keys)
print(#table.concat(keys, ","))
LUA
    valg lua lua5.4 words.lua
}

record_sqlite() {
    {
        echo 'create table item(id integer primary key, grp int, name text, price real);'
        echo 'create index by_grp on item(grp, price);'
        echo 'begin;'
        numbers 2500 | awk '{ printf "insert into item values(%d, %d, '\''item number %d of its kind'\'', %d.25);\n", NR, $1 % 97, $1, $1 % 1000 }'
        echo 'commit;'
        numbers 400 | awk '{ printf "select count(*), avg(price) from item where grp = %d;\nupdate item set price = price + 1 where id = %d;\n", $1 % 97, $1 % 2500 }'
        echo 'select grp, group_concat(name, x'\''2c'\'') from item group by grp order by sum(price) desc limit 5;'
        echo 'with recursive f(n, s) as (select 1, 1 union all select n + 1, s + n from f where n < 2000) select max(s) from f;'
        echo 'delete from item where grp < 50; vacuum;'
    } >work.sql
    heap sqlite sqlite3 shop.db '.read work.sql'
}

record_python() {
    cat >inventory.py <<'PY'
import json, re
from collections import defaultdict
class Item:
    def __init__(self, key, size):
        self.key, self.size, self.tags = key, size, {"t%d" % (size % 13)}
items = [Item("key-%d" % (i * 7919 % 13009), i % 257) for i in range(13000)]
groups = defaultdict(list)
for item in items:
    groups[item.size].append(item)
text = json.dumps({k: [i.key for i in v] for k, v in groups.items()})
back = json.loads(text)
words = re.findall(r"key-\d+7", text)
print(len(back), len(words), sum(len(" ".join(v)) for v in back.values()))
PY
    # Without PYTHONMALLOC the interpreter would hide its small objects in arenas of its own.
    PYTHONMALLOC=malloc valg python /usr/bin/python3 -S inventory.py
}

record_cc1plus() {
    cat >shapes.cpp <<'CPP'
#include <map>
#include <string>
#include <vector>
struct Shape { virtual ~Shape() = default; virtual double area() const = 0; };
struct Circle : Shape { double r; explicit Circle(double r) : r(r) {} double area() const override { return 3.14159 * r * r; } };
struct Square : Shape { double a; explicit Square(double a) : a(a) {} double area() const override { return a * a; } };
double total(const std::vector<Shape *> &shapes) {
    std::map<std::string, double> sums;
    for (const auto &s : shapes) sums[s->area() > 10 ? "large" : "small"] += s->area();
    return sums["large"] + sums["small"];
}
CPP
    heap cc1plus "$(g++ -print-prog-name=cc1plus)" -quiet -O1 -D_GNU_SOURCE \
        -imultiarch "$(g++ -print-multiarch)" shapes.cpp -o shapes.s
}

record_git() {
    mkdir repository
    (
        cd repository
        git init -q
        git config user.name nobody
        git config user.email nobody@example.org
        for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
            for file in $(seq 1 40); do
                numbers $((60 + file * 3)) | awk -v r="$round" -v f="$file" '{ if (($1 + r * f) % 29 == 0) print "line", $1 * r; else print "line", $1 }' >"file$file.txt"
            done
            git add -A
            git commit -qm "round $round"
        done
    )
    heap git git -C repository --no-pager log -p --stat -M
}

record_jq() {
    numbers 1200 | awk 'BEGIN { print "[" } { printf "%s{\"id\":%d,\"name\":\"user %d\",\"tags\":[\"a%d\",\"b%d\"],\"score\":%d.5}\n", (NR > 1 ? "," : ""), NR, $1, $1 % 7, $1 % 11, $1 % 1000 } END { print "]" }' >users.json
    heap jq jq '[.[] | select(.score > 200) | {name, tag: (.tags | join("-")), s: (.score * 2)}] | group_by(.tag) | map({tag: .[0].tag, n: length, top: (max_by(.s) | .name)})' users.json
}

record_xmllint() {
    numbers 2500 | awk 'BEGIN { print "<list>" } { printf "<item id=\"%d\" kind=\"k%d\"><name>Name &amp; number %d</name><price unit=\"eur\">%d</price></item>\n", NR, $1 % 17, $1, $1 % 900 } END { print "</list>" }' >list.xml
    valg xmllint xmllint --xpath 'count(//item[price > 450 and @kind != "k3"]) + sum(//price)' list.xml
}

record_imagemagick() {
    for picture in 1 2 3 4 5 6 7 8 9 10; do
        numbers $((picture * 40 + 1400)) | tr -d '\n' >pixels
        { printf 'P6 48 36 255\n'; head -c 5184 pixels; } >"in$picture.ppm"
    done
    # One thread: its threads would otherwise race for what is allocated when.
    MAGICK_THREAD_LIMIT=1 valg imagemagick /usr/bin/convert-im6.q16 'in%d.ppm[1-10]' -resize 40x30 \
        -blur 0x1 -rotate 5 -colorspace gray -append out.png
}

record_redis() {
    heap redis redis-server --port 7399 --save '' --appendonly no --io-threads 1 &
    local server=$!
    until redis-cli -p 7399 ping >/dev/null 2>&1; do sleep 0.2; done
    redis-benchmark -p 7399 -q -n 4000 -r 3000 -d 100 -c 20 -t set,get,lpush,lpop,sadd,hset,zadd >/dev/null
    redis-cli -p 7399 shutdown nosave || true
    wait "$server"
}

record_nginx() {
    mkdir -p site/logs
    numbers 400 >site/index.html
    cat >nginx.conf <<NGINX
daemon off; master_process off; pid $work/nginx.pid; error_log $work/error.log;
events { worker_connections 64; }
http {
    access_log $work/access.log; gzip on; gzip_min_length 100; gzip_types *;
    client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fcgi;
    uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
    server { listen 127.0.0.1:7398; root $work/site; location /numbers { return 200 "numbers"; } }
}
NGINX
    valg nginx nginx -c "$work/nginx.conf" &
    local server=$!
    until curl -s -o /dev/null http://127.0.0.1:7398/; do sleep 0.5; done
    for _ in $(seq 1 600); do
        curl -s --compressed 'http://127.0.0.1:7398/index.html' 'http://127.0.0.1:7398/numbers' \
            'http://127.0.0.1:7398/missing' >/dev/null
    done
    kill -QUIT "$(cat "$work/nginx.pid")"
    wait "$server"
}

all=(mawk bc imagemagick lua sqlite python cc1plus git jq xmllint redis nginx)
for name in "${@:-${all[@]}}"; do
    echo "recording $name" >&2
    "record_$name"
    if [ -e "$work/$name.log" ]; then recording="$work/$name.log"; else recording="$work/$name.raw.zst"; fi
    if [ -n "${RECORDINGS:-}" ]; then
        cp "$recording" "$RECORDINGS"
    else
        cargo run --release --quiet --manifest-path "$traces/../Cargo.toml" -- \
            import "$recording" --name "$name" --output "$traces/$name.slabtrace"
    fi
done
