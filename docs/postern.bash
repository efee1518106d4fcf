# Completion of the postern command for bash.  Commands, verbs and options are those that its own
# --help prints; a value is completed as a file.

_postern()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} said=() help list i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c) i=$((i + 1)) ;;
		-*) ;;
		*) said+=("${COMP_WORDS[i]}") ;;
		esac
	done
	[[ $prev == -c ]] && return
	help=$("${COMP_WORDS[0]}" "${said[@]:0:2}" --help 2>/dev/null) || return
	# An option in capitals behind it waits for its value.
	[[ $prev == --* ]] && grep -q -- "\[*$prev [A-Z]" <<<"$help" && return
	if [[ $cur == -* ]]; then
		list="-c --json --help $(sed -n '/^ *$/q; p' <<<"$help" | grep -o -- '--[a-z]*[a-z]\(=[a-z]*\)*')"
	else
		list=$(sed -n 's/^    \([a-z][a-z]*\).*/\1/p' <<<"$help")
	fi
	mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur" | sort -u)
}
complete -o default -F _postern postern
