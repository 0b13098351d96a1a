# shellcheck shell=bash disable=SC2154
part fresh more last "the two commands of the README in a clean Debian 12 root with an empty home"

part_fresh() { if scripts/fresh >"$out/fresh.txt" 2>&1; then line pass; else line fail; tail -n 60 "$out/fresh.txt"; return 1; fi; }
