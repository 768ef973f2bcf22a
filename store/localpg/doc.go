// Package localpg runs a private Postgres for one process: for `relay dev`, for tests, and for the proofs of speed and
// of durability. It works on Linux and macOS.
//
// It owns the folder `postgres` inside the caller's data folder, and promises:
//
//   - Nothing is left to configure. The Postgres programs are searched for, or downloaded when the machine has none. Started by
//     root, Postgres runs as an unprivileged user, because it refuses to run as root.
//   - Only this user and root can connect: there is no TCP port, and the socket lies in a folder of mode 0700.
//   - One owner at a time. A second one gets [ErrInUse], which names the process that holds the folder.
//   - Postgres ends with its owner, however the owner ends. If a killed owner left anything behind, the next [Start] on
//     that folder cleans it up.
//   - A folder holds a complete cluster or none: a kill while the cluster is made does no harm.
//   - No process is signalled by a process id that may belong to another process by now.
//
// How the processes hang together:
//
//	owner ──pipe──▶ sh (session of its own) ──▶ postgres ──▶ backends
//	  │               └▶ watcher: reads the pipe
//	  │ owner.lock                                │ server.lock
//
// The owner holds owner.lock for its lifetime. Postgres and its children inherit server.lock, so that the lock is free
// exactly when the last of them is gone. The watcher reads the pipe; at its end the owner is dead, and the watcher
// signals its own process group, which needs no process id. The session of their own keeps a Ctrl-C at the terminal
// away from Postgres until the owner has drained.
//
//	DIR/owner.lock                the owner's lock and process id
//	DIR/postgres/                 mode 0700, owned by the user that runs Postgres
//	DIR/postgres/data/            the cluster
//	DIR/postgres/data.new-…/      a cluster in the making, renamed to data when it is whole
//	DIR/postgres/server.lock      held by every process of Postgres
//	DIR/postgres/postgres.log     this run's log (postgres.log.1: the run before)
//	DIR/postgres/.s.PGSQL.5432    the socket
//
// Where DIR cannot be used by that user (a checkout below a root-only folder, a shared file system without owners), or
// where its path is too long for a socket, TMP/relay-pg-UID-HASH stands in for DIR, or for the socket's place alone. HASH is
// made of DIR's absolute path.
package localpg
