package keyring

import (
	"errors"
	"io/fs"
	"time"

	"signpath/internal/provider/listcache"
	"signpath/internal/provider/remote"
)

// A list that an earlier process kept on disk (SigningPolicyCacheInSeconds) stands
// in for the answer of the service for a short time. It only says which keys there
// are: a key that is not in it is looked for at the service, a signature that the
// service refuses or that does not verify ends its use, and every signature is
// decided on and verified as ever. What it costs: for that time C_Login accepts a
// token that has just been revoked, and the first signature tells.

// keptList gives the list on disk, nil when there is none.
func (r *Ring) keptList() *listcache.Entry {
	if r.disk == nil {
		return nil
	}
	e, err := r.disk.Get(r.diskID)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Debug("the list of signing policies on disk is not used", "folder", r.settings.ListCacheFolder, "cause", err.Error())
		}
		return nil
	}
	return &e
}

// fresh makes a snapshot of a list on disk that is young enough. again says that
// a kept list does not do.
func (r *Ring) fresh(kept *listcache.Entry, again bool) (state, bool) {
	if kept == nil || again {
		return state{}, false
	}
	age := kept.Age(time.Now())
	if age < 0 || age >= r.settings.ListCache {
		return state{}, false
	}
	policies, err := r.usable(r.client.ParsePolicies(kept.Body))
	if err != nil {
		return state{}, false
	}
	s := r.newSnapshot(policies)
	s.kept = true
	r.log.Debug("the list of signing policies comes from the disk", "age", age.Round(time.Millisecond).String())
	return state{s, kept.Tag}, true
}

// keep writes what the service has just said. An empty list is not kept: who
// waits for a first key looks again at once.
func (r *Ring) keep(list remote.List) {
	if r.disk == nil {
		return
	}
	if len(list.Policies) == 0 {
		r.disk.Drop(r.diskID)
		return
	}
	if err := r.disk.Put(r.diskID, listcache.Entry{Body: list.Body, Tag: list.Tag, At: time.Now()}); err != nil {
		r.log.Debug("the list of signing policies is not kept on disk", "folder", r.settings.ListCacheFolder, "cause", err.Error())
	}
}

// doubt ends the use of a list from the disk after a signature that the service
// refused (4xx) or that does not verify: the next look-up, of this process or
// another, asks the service. Failures of the network say nothing about the list.
func (r *Ring) doubt(err error) {
	var e *remote.Error
	if r.disk == nil || !errors.As(err, &e) || e.Class != remote.User && e.Class != remote.Service {
		return
	}
	r.disk.Drop(r.diskID)
	r.mu.Lock()
	kept := r.snapshot != nil && r.snapshot.kept
	if kept {
		r.snapshot, r.tag = nil, ""
	}
	r.mu.Unlock()
	if kept {
		r.log.Info("the list of signing policies came from the disk and may be out of date; the service is asked for the next one")
	}
}
