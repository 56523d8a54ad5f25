# shellcheck shell=bash
# Steps of scripts/test: each is run to its end, shown, kept in build/logs, and counted. Sourced.
# shellcheck disable=SC2154 # logs is the caller's

passed=0
failed=0
skipped=0
summary=()
file_times=

# step TITLE COMMAND…: runs it, shows and keeps its output, and counts the tests that it reports.
step() {
  local title=$1 log start=$SECONDS status count
  shift
  log=$logs/test-$(tr -cs 'a-zA-Z0-9\n' - <<<"$title").log
  printf '\n== %s\n' "$title"
  # By way of a file: a pipe would stay open for as long as anything that a test left behind lives.
  : >"$log"
  (set -e && "$@") >"$log" 2>&1 </dev/null &
  tail --lines=+1 --follow --sleep-interval=0.2 --pid=$! "$log" 2>/dev/null
  wait $!
  status=$?

  local step_passed=0 step_failed=0 step_skipped=0
  while read -r count; do
    local p f s
    read -r p f s <<<"$count"
    ((step_passed += p, step_failed += f, step_skipped += s))
  done < <(counts_in "$log")
  file_times+=$(times_in "$log")$'\n'
  # A step that fails without a failed test counts as one: a check, a build, a crash.
  ((status == 0 || step_failed > 0)) || ((failed += 1))
  ((passed += step_passed, failed += step_failed, skipped += step_skipped))

  local words=
  ((step_passed == 0)) || words="$step_passed passed"
  ((step_skipped == 0)) || words+=", $step_skipped skipped"
  words=${words#, }
  if ((step_failed > 0)); then
    words="$step_failed FAILED${words:+, $words}"
  elif ((status != 0)); then
    words="FAILED (exit status $status)${words:+, $words}"
  fi
  words=${words:-ok}
  summary+=("$(printf '%-44s %5d s   %s' "$title" $((SECONDS - start)) "$words")")
}

# The lines `passed failed skipped` for what doctest and scripts/lib/run_tap.js print at their end.
counts_in() {
  sed -nE \
    -e 's/^\[doctest\] test cases: *[0-9]+ *\| *([0-9]+) passed *\| *([0-9]+) failed.*/\1 \2 0/p' \
    -e 's/^# tests: passed=([0-9]+) failed=([0-9]+) skipped=([0-9]+)$/\1 \2 \3/p' "$1"
}

# The lines `seconds file` for the test files that scripts/lib/run_tap.js reports.
times_in() { sed -nE 's/^  (ok  |FAIL) (test\/[^ ]+) \(.*, ([0-9.]+) s\)$/\3 \2/p' "$1"; }

finish() {
  if [[ $file_times =~ [0-9] ]]; then
    printf '\n== Slowest test files\n'
    grep . <<<"$file_times" | sort --general-numeric-sort --reverse | head --lines=10 |
      while read -r seconds file; do printf '%7.1f s   %s\n' "$seconds" "$file"; done
  fi
  printf '\n== Summary\n'
  printf '%s\n' "${summary[@]}"
  ((skipped == 0)) || printf 'skipped tests: %d\n' "$skipped"
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
  exit
}
