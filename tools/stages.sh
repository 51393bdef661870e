# Named steps with progress for ./run and ./test, which source this file.
#
#   stage NAME COMMAND...   runs it with its output in build/logs/NAME.log. On a terminal one live line shows the seconds
#                           so far and the log's last line; elsewhere a line every 30 s. Says how long it took. Returns
#                           the command's exit code; where that is not 0, shows the end of the log first.
#   erase_line              clears what a live line left behind
#   minutes SECONDS         "2 min 05 s"

log_dir=build/logs
mkdir -p "$log_dir"
[ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && live=yes || live=no
ticker_pid=

erase_line() {
  [ $live = no ] || printf '\r\033[K'
}

minutes() {
  if [ "$1" -lt 60 ]; then echo "$1 s"; else printf '%d min %02d s\n' $(($1 / 60)) $(($1 % 60)); fi
}

# Shows NAME, the seconds since it began and the last line of LOG until it is killed or this script is gone.
tick() {
  local name=$1 log=$2 begin=$SECONDS width last
  width=$(tput cols 2>/dev/null || echo 80)
  while kill -0 $$ 2>/dev/null; do
    if [ $live = yes ]; then sleep 0.3; else sleep 30; fi
    last=$(tail -c 400 "$log" 2>/dev/null | tr '\r\t' '\n ' | tr -cd '[:print:]\n' | grep . | tail -n 1) || last=
    printf -v last '%-17s %4d s  %s' "$name" $((SECONDS - begin)) "$last"
    if [ $live = yes ]; then printf '\r\033[K%s' "${last:0:width-1}"; else echo "$last"; fi
  done
}

start_ticker() {
  tick "$@" &
  ticker_pid=$!
}

stop_ticker() {
  [ -n "$ticker_pid" ] || return 0
  kill "$ticker_pid" 2>/dev/null || true
  wait "$ticker_pid" 2>/dev/null || true
  ticker_pid=
  erase_line
}

stage() {
  local name=$1 log="$log_dir/${1// /-}.log" begin=$SECONDS status=0
  shift
  : >"$log"
  start_ticker "$name" "$log"
  "$@" >"$log" 2>&1 || status=$?
  stop_ticker
  if [ $status -eq 0 ]; then
    printf '%-17s %s\n' "$name" "$(minutes $((SECONDS - begin)))"
  else
    echo "$name FAILED after $(minutes $((SECONDS - begin))); the end of $log:"
    tail -n 40 "$log" | sed 's/^/  /'
  fi
  return $status
}
