// Package sqlite keeps everything Postern remembers in one data folder, without any other server: the default adapter for
// internal/store.
//
// Two files, because they promise different things. postern.db holds the document, the directory, the audit trail, sign-in
// data and counters, and is written with synchronous=FULL: a write that was acknowledged is on the disk, so it survives
// kill -9 and, as far as the disk keeps its word about fsync, a power cut. records.db holds call records, is written in
// batches with synchronous=NORMAL: kill -9 loses nothing that was appended, a power cut may lose the newest batches, and
// neither ever corrupts the file. A flood of records cannot hold up a management write, since each file has its own writer.
//
// One process at a time owns a data folder (postern.lock). Others go through the management API, or open it ReadOnly.
package sqlite
