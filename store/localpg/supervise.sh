# Runs one command and ends it when the process that holds the other end of standard input tells so or dies.
#   $1  the signal that asks the command to end, 0 to let it finish
#   $2  tenths of a second from that signal to SIGQUIT once the owner died; $3  the same once the owner said "stop"
#   $4  a folder to remove once the owner died, or nothing; the rest: the command. File 3 is the lock it inherits.
# Standard output gets the command's exit status, standard error everything else.
# Signals go to the own process group, so no process id can be anyone else's; backends have sessions of their own.
ask=$1 orphan=$2 told=$3 folder=$4
shift 4
exec 4<&0
"$@" </dev/null >&2 4<&- &
command=$!
exec 3<&-
trap '' HUP INT PIPE QUIT TERM
(
	word=
	read -r word <&4
	patience=$told
	if [ "$word" != stop ]; then
		patience=$orphan
		if [ -n "$folder" ]; then : >"$folder/orphaned"; fi
	fi
	n=0
	while :; do
		# Sent again and again, because a command that is just starting does not listen yet.
		if [ "$n" -lt "$patience" ]; then signal=$ask
		elif [ "$n" -lt $((patience + 60)) ]; then signal=QUIT
		else signal=KILL; fi
		kill -s "$signal" 0
		sleep 0.1 || sleep 1
		n=$((n + 1))
	done
) >&2 &
exec 4<&-
wait "$command"
status=$?
if [ -n "$folder" ] && [ -e "$folder/orphaned" ]; then rm -rf -- "$folder"; fi
# A dead owner reads no status, and the rest of the group must end all the same.
echo "$status" 2>/dev/null
kill -s KILL 0
