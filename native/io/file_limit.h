// The process's limit of open files, and the last few of them, which the data path leaves alone:
// at the limit the admin address must still be able to answer.
#pragma once

namespace tidegate {

// Raises the soft limit as far as the process may, and remembers it. Control thread, before any
// I/O thread; without it nothing is kept back.
void raiseFileLimit();

// Whether a new file of that number is one of the last that may be opened. The kernel hands out
// the lowest free number, so a high one says that all below are in use. Any thread.
bool isKeptBack(int fd);

// Whether a file opened now would not be kept back. Costs two system calls unless `lastNumber`,
// that of a file which the caller opened lately, is far below the limit. `open` is any open file.
// Any thread.
bool mayOpenFile(int open, int lastNumber);

}  // namespace tidegate
