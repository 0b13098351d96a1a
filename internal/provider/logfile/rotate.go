package logfile

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"time"
)

const (
	maxSize    = 10 << 20               // bytes of one file before it is rotated
	maxCopies  = 5                      // old files that are kept: .1 is the newest
	lockWait   = 200 * time.Millisecond // how long a rotation waits for another process
	retryAfter = 10 * time.Second       // pause after a failure to open, write or rotate
)

// rotatingFile is a file that several processes append to. Every line is one
// write to a descriptor opened for appending, on Windows under a lock as well, so
// lines of different processes never mix. A process that finds the file full takes the lock beside it, looks
// again, renames and goes on with a fresh file; the others notice that the name
// belongs to another file and reopen. A line that arrives in between is in the
// first old copy: late, but whole.
type rotatingFile struct {
	directory, base string // base: file name without ".txt"
	limit           int64
	now             func() time.Time

	dir      *folder
	file     *os.File
	name     string // base, with the user added when the plain name is another user's
	failure  error
	retry    time.Time // not before this after a failure
	noRotate time.Time // likewise for rotations
}

var errShort = errors.New("the disk took only part of a line")

func (r *rotatingFile) path() string {
	if r.file == nil {
		return ""
	}
	return r.dir.path(r.name + ".txt")
}

func (r *rotatingFile) close() {
	if r.file != nil {
		_ = r.file.Close()
	}
	if r.dir != nil {
		r.dir.close()
	}
	r.file, r.dir = nil, nil
}

// write appends one line. After a failure it rests for a while: a missing
// folder must not cost every signature a few system calls.
func (r *rotatingFile) write(line []byte) error {
	now := r.now()
	if r.failure != nil && now.Before(r.retry) && now.After(r.retry.Add(-2*retryAfter)) {
		return r.failure
	}
	err := r.append(line)
	if err != nil {
		r.close()
		r.retry = now.Add(retryAfter)
	}
	r.failure = err
	return err
}

func (r *rotatingFile) append(line []byte) error {
	if err := r.current(); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return cause(err)
	}
	if info.Size() > 0 && info.Size()+int64(len(line)) > r.limit {
		if err := r.rotate(int64(len(line))); err != nil {
			return err
		}
	}
	n, err := writeLine(r.file, line)
	if err == nil && n < len(line) {
		err = errShort
	}
	return cause(err)
}

// current opens the file, also when another process has put a new one in its place.
func (r *rotatingFile) current() error {
	if r.file != nil {
		if r.isCurrent() {
			return nil
		}
		r.close() // the folder may have gone as well
	}
	return r.open()
}

func (r *rotatingFile) isCurrent() bool {
	mine, err := r.file.Stat()
	if err != nil {
		return false
	}
	there, err := r.dir.stat(r.name + ".txt")
	return err == nil && os.SameFile(mine, there)
}

func (r *rotatingFile) open() (err error) {
	if r.dir == nil {
		if r.dir, err = openFolder(r.directory); err != nil {
			r.dir = nil
			return cause(err)
		}
	}
	for _, name := range []string{r.base, r.base + ownSuffix()} {
		if r.file, err = r.dir.open(name + ".txt"); err == nil {
			r.name = name
			return nil
		}
		r.file = nil
	}
	return cause(err)
}

// rotate renames the full file. Only trouble that leaves no file to write to is
// an error: a file that grows too large is better than none.
func (r *rotatingFile) rotate(need int64) error {
	now := r.now()
	if now.Before(r.noRotate) {
		return nil
	}
	lock, err := r.dir.lock(r.name+".lock", lockWait)
	if err != nil {
		r.noRotate = now.Add(time.Second)
		return nil
	}
	defer func() { _ = lock.Close() }() // gives the lock back
	if !r.isCurrent() {
		_ = r.file.Close()
		if r.file, err = r.dir.open(r.name + ".txt"); err != nil {
			r.file = nil
			return cause(err)
		}
	}
	info, err := r.file.Stat()
	if err != nil {
		return cause(err)
	}
	if info.Size() == 0 || info.Size()+need <= r.limit {
		return nil // another process was faster
	}
	for i := maxCopies; i > 0; i-- {
		from := r.name + ".txt"
		if i > 1 {
			from = r.copyName(i - 1)
		}
		if err := r.dir.rename(from, r.copyName(i)); err != nil && !(i > 1 && errors.Is(err, fs.ErrNotExist)) {
			r.noRotate = now.Add(retryAfter)
			return nil
		}
	}
	_ = r.file.Close()
	if r.file, err = r.dir.open(r.name + ".txt"); err != nil {
		r.file = nil
	}
	return cause(err)
}

func (r *rotatingFile) copyName(i int) string { return r.name + "." + strconv.Itoa(i) + ".txt" }

// cause strips operation and path: the path is in the line already.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
