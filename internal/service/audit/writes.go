package audit

import "time"

// Writes tells of the group commits: when the last one that wrote something
// ended, when the last one that failed ended and why. Zero: there was none.
func (l *Log) Writes() (succeeded, failed time.Time, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lastWrite, l.lastFailure, l.lastCause
}
