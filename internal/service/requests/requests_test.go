package requests

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"signpath/internal/service/jobs"
	"signpath/internal/service/keys"
	"signpath/internal/service/model"
	"signpath/internal/service/signing"
	"signpath/internal/service/store"
	"signpath/internal/testkit/testkeys"
	"signpath/internal/wire"
)

// The table: every step that something leads to exists, final ones lead nowhere.
func TestStates(t *testing.T) {
	for _, s := range states {
		if s.final != (len(s.next) == 0) {
			t.Errorf("%s: final %v, but %v follow", s.workflow, s.final, s.next)
		}
		for _, n := range s.next {
			if !slices.ContainsFunc(states, func(o state) bool { return o.workflow == n }) {
				t.Errorf("%s leads to %s, which does not exist", s.workflow, n)
			}
		}
		for _, to := range states {
			r := &model.SigningRequest{Workflow: s.workflow}
			if err := follow(r, to.workflow); (err == nil) != slices.Contains(s.next, to.workflow) {
				t.Errorf("%s to %s: %v", s.workflow, to.workflow, err)
			}
		}
	}
	if _, final := Status("Nonsense"); !final {
		t.Error("an unknown step must not go on")
	}
}

func TestSubmitAndSign(t *testing.T) {
	w := newWorld(t)
	r := w.submitted("builder", "release", func(f *wire.Submission) {
		f.Asynchronous.Parameters = []wire.Parameter{{Name: "version", Value: "1.2"}}
		f.Asynchronous.Origin = &wire.Origin{BuildData: &wire.BuildData{URL: "https://ci.example.test/1", BuildSettingsFile: &wire.BuildSettingsFile{FileName: "ci.yml"}}}
		f.Asynchronous.BuildSettings = []byte("x: 1")
	})
	w.is(r, model.WorkflowQueuedForProcessing)
	w.work()
	done := w.is(r, model.WorkflowCompleted)
	var p wire.Payload
	w.must(json.Unmarshal(done.Result, &p))
	signature, err := wire.DecodeBase64(p.Signature)
	w.must(err)
	sum := sha256.Sum256([]byte("abc"))
	w.must(rsa.VerifyPKCS1v15(testkeys.Signer(t, "rsa2048").Public().(*rsa.PublicKey), crypto.SHA256, sum[:], signature))
	if p.SigningRequestID != r.ID || p.KeyVersion != 1 || done.KeyVersion != 1 || !strings.Contains(string(done.Result), `{"a":"\u003cb\u003e"}`) || !strings.HasSuffix(p.WebLink, r.ID) {
		t.Errorf("%s", done.Result)
	}
	want := []string{"SigningRequest.Submitted", "HashSigning.Intent", "HashSigning.Completed", "SigningRequest.Completed"}
	got := w.entries(r)
	slices.Sort(got) // the outcome of the signature may come after the end of the request
	slices.Sort(want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("audit: %v", got)
	}
	a := w.room.Describe(w.signing.Snapshot(), done)
	if a.Status != "Completed" || !a.IsFinalStatus || a.ProjectSlug != "app" || a.SigningPolicySlug != "release" || a.ArtifactConfigurationSlug != "hash" || a.SubmitterName != "builder" ||
		a.Parameters["version"] != "1.2" || a.Origin.BuildData.BuildSettingsFile.DownloadLink != "https://sign.example.test/Api/v1/"+w.org.ID+"/SigningRequests/"+r.ID+"/BuildSettingsFile" || a.FinishedAt == nil {
		t.Errorf("%+v", a)
	}
	w.work() // nothing is left
	if next, err := w.store.NextJob(t.Context(), []string{JobSign, JobDeadline}); err != nil || !next.IsZero() {
		t.Errorf("jobs are left: %v %v", next, err)
	}
}

func TestSubmissionsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name, user, policy string
		route              wire.Route
		status             int
		says               string
		edit               func(*wire.Submission)
	}{
		{"no submitter", "other", "release", wire.SubmitWithArtifact, 403, "not a submitter", nil},
		{"no submitter, no artifact", "other", "release", wire.SubmitWithoutArtifact, 403, "not a submitter", nil},
		{"unknown policy", "builder", "nowhere", wire.SubmitWithArtifact, 400, "no signing policy", nil},
		{"a policy ID of nobody", "builder", "", wire.SubmitWithArtifact, 400, "no signing policy with the ID", func(f *wire.Submission) {
			f.ProjectSlug, f.Asynchronous.SigningPolicyID = "", "11111111-1111-4111-8111-111111111111"
		}},
		{"artifact", "builder", "release", wire.SubmitWithArtifact, 400, "not a valid hash signing document", func(f *wire.Submission) { f.Artifact = []byte("MZ") }},
		{"hash", "builder", "release", wire.SubmitWithArtifact, 400, "does not allow", func(f *wire.Submission) {
			f.Artifact = []byte(`{"SignatureAlgorithm":"RsaPkcs1","RsaHashAlgorithm":"1.3.14.3.2.26","Base64EncodedHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}`)
		}},
		{"description", "builder", "release", wire.SubmitWithoutArtifact, 400, "2001 characters", func(f *wire.Submission) { f.Description = strings.Repeat("x", 2001) }},
		{"links are off", "builder", "release", wire.SubmitWithLink, 400, "does not fetch", func(f *wire.Submission) { f.Asynchronous.Link = &wire.ArtifactLink{} }},
		{"nothing to repeat", "builder", "release", wire.Resubmit, 400, "no such signing request", func(f *wire.Submission) {
			f.Asynchronous.OriginalSigningRequestID = "11111111-1111-4111-8111-111111111111"
		}},
	} {
		_, err := w.submit(c.user, c.policy, c.route, func(f *wire.Submission) {
			if c.route == wire.SubmitWithLink {
				f.Asynchronous.Link = mustLink(t, "https://example.test/x")
			} else if c.edit != nil {
				c.edit(f)
			}
		})
		if p := status(t, err, c.status); !strings.Contains(p.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, p, c.says)
		}
	}
	if list, err := w.room.List(t.Context(), store.RequestFilter{OrganizationID: w.org.ID, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%d requests were kept (%v)", len(list), err)
	}
}

func TestApproval(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	r := w.submitted("ann", "approved") // ann is submitter and approver
	w.work()
	w.is(r, model.WorkflowWaitingForApproval)
	status(t, w.room.Approve(ctx, w.principal("ann"), r.ID, ""), 403)     // not one's own
	status(t, w.room.Deny(ctx, w.principal("ann"), r.ID, ""), 403)        // likewise
	status(t, w.room.Approve(ctx, w.principal("builder"), r.ID, ""), 403) // no approver
	w.must(w.room.Approve(ctx, w.principal("ben"), r.ID, "looks good"))
	status(t, w.room.Approve(ctx, w.principal("ben"), r.ID, ""), 409) // once
	w.work()
	w.is(r, model.WorkflowWaitingForApproval)
	w.must(w.room.Approve(ctx, w.principal("eve"), r.ID, ""))
	status(t, w.room.Deny(ctx, w.principal("ben"), r.ID, ""), 409) // too late
	w.work()
	done := w.is(r, model.WorkflowCompleted)
	if len(done.Approvals) != 2 || done.Approvals[0].Reason != "looks good" || done.Approvals[0].UserID != w.users["ben"].ID {
		t.Errorf("%+v", done.Approvals)
	}

	denied := w.submitted("builder", "approved")
	w.must(w.room.Approve(ctx, w.principal("ben"), denied.ID, ""))
	w.must(w.room.Deny(ctx, w.principal("eve"), denied.ID, "wrong branch"))
	w.work()
	if d := w.is(denied, model.WorkflowDenied); d.Reason != "wrong branch" || d.EndedBy != w.users["eve"].ID || d.Result != nil {
		t.Errorf("%+v", d)
	}
	if got := w.entries(denied); slices.Contains(got, "HashSigning.Intent") {
		t.Errorf("the key was used: %v", got)
	}
}

// Whoever is no approver any more when the key is to be used does not count.
func TestApproverWhoIsNoneAnyMore(t *testing.T) {
	w := newWorld(t)
	r := w.submitted("builder", "approved")
	w.must(w.room.Approve(t.Context(), w.principal("ben"), r.ID, ""), w.room.Approve(t.Context(), w.principal("eve"), r.ID, ""))
	p := w.policy["approved"]
	p.Approvers = p.Approvers[:2] // without eve
	w.change(func(tx store.Tx) error { return tx.PutSigningPolicy(p) })
	w.work()
	if f := w.is(r, model.WorkflowProcessingFailed); !strings.Contains(f.Reason, "requires 2 approvals") {
		t.Error(f.Reason)
	}
	got := w.entries(r)
	for range 100 { // nobody waits for the entry of a refusal
		if slices.Contains(got, "HashSigning.Refused") {
			break
		}
		time.Sleep(20 * time.Millisecond)
		got = w.entries(r)
	}
	if !slices.Contains(got, "HashSigning.Refused") || slices.Contains(got, "HashSigning.Intent") {
		t.Errorf("audit: %v", got)
	}
}

// Fast requests never get past an approval.
func TestFastNeverGetsPastAnApproval(t *testing.T) {
	w := newWorld(t)
	h, err := wire.ParsePayload(payload("abc"))
	w.must(err)
	_, err = w.signing.Sign(t.Context(), signing.Request{OrganizationID: w.org.ID, Authorization: "Bearer " + w.tokens["builder"], ProjectSlug: "app", SigningPolicySlug: "approved", Hash: h})
	status(t, err, 400)
}

// All checks hold when the key is used, not only when the request comes.
func TestChecksHoldLater(t *testing.T) {
	for name, edit := range map[string]func(w *world, tx store.Tx) error{
		"the token was revoked": func(w *world, tx store.Tx) error {
			k := w.rows["builder"]
			k.Active = false
			return tx.PutToken(k)
		},
		"user who submitted the request is not active": func(w *world, tx store.Tx) error {
			u := w.users["builder"]
			u.Active = false
			return tx.PutUser(u)
		},
		"not a submitter": func(w *world, tx store.Tx) error {
			p := w.policy["release"]
			p.Submitters = nil
			return tx.PutSigningPolicy(p)
		},
		"does not allow": func(w *world, tx store.Tx) error {
			p := w.policy["release"]
			p.Hashes = []wire.Hash{wire.SHA512}
			return tx.PutSigningPolicy(p)
		},
		"requires 1 approvals": func(w *world, tx store.Tx) error {
			p := w.policy["release"]
			p.RequiredApprovals = 1
			return tx.PutSigningPolicy(p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.submitted("builder", "release")
			w.change(func(tx store.Tx) error { return edit(w, tx) }) // on another replica: nobody tells the service
			w.work()
			if f := w.is(r, model.WorkflowProcessingFailed); !strings.Contains(f.Reason, strings.TrimPrefix(name, "the token ")) || f.Result != nil {
				t.Error(f.Reason)
			}
		})
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	r := w.submitted("builder", "release")
	status(t, w.room.Cancel(ctx, w.principal("ann"), r.ID, ""), 403)
	status(t, w.room.Cancel(ctx, w.principal("builder"), "not-a-uuid", ""), 400)
	status(t, w.room.Cancel(ctx, w.principal("builder"), "11111111-1111-4111-8111-111111111111", ""), 403)
	status(t, w.room.Cancel(ctx, w.principal("builder"), r.ID, strings.Repeat("x", 2001)), 400)
	w.must(w.room.Cancel(ctx, w.principal("builder"), strings.ToUpper(r.ID), "mistake"))
	w.work()
	w.is(r, model.WorkflowCanceled)
	status(t, w.room.Cancel(ctx, w.principal("builder"), r.ID, ""), 409)
	if got, want := w.entries(r), []string{"SigningRequest.Submitted", "SigningRequest.Canceled"}; !reflect.DeepEqual(got, want) {
		t.Errorf("audit: %v", got)
	}
}

// A token that was revoked a moment ago changes nothing.
func TestRevokedTokenChangesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.submitted("builder", "release")
	p := w.principal("builder")
	k := w.rows["builder"]
	k.Active = false
	w.change(func(tx store.Tx) error { return tx.PutToken(k) })
	status(t, w.room.Cancel(t.Context(), p, r.ID, ""), 401)
}

func TestDeadline(t *testing.T) {
	w := newWorld(t)
	soon := w.submitted("builder", "approved", func(f *wire.Submission) { f.Asynchronous.CancellationTimeout = time.Minute })
	signed := w.submitted("builder", "release", func(f *wire.Submission) { f.Asynchronous.CancellationTimeout = time.Minute })
	upload, err := w.submit("builder", "release", wire.SubmitWithoutArtifact)
	w.must(err)
	w.work()
	w.now = w.now.Add(59 * time.Second)
	w.work()
	w.is(soon, model.WorkflowWaitingForApproval)
	w.now = w.now.Add(time.Second)
	w.work()
	w.is(soon, model.WorkflowCanceled)
	w.is(signed, model.WorkflowCompleted)
	w.is(upload, model.WorkflowWaitingForArtifactUpload)
	w.now = w.now.Add(uploadTime)
	w.work()
	if c := w.is(upload, model.WorkflowCanceled); !strings.Contains(c.Reason, "not uploaded") {
		t.Error(c.Reason)
	}
}

func TestUpload(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	good := payload("abc")
	r, err := w.submit("builder", "release", wire.SubmitWithoutArtifact, func(f *wire.Submission) { f.Asynchronous.ArtifactSHA256 = sha256Hex(good) })
	w.must(err)
	upload := func(user string, content []byte) error {
		return w.room.Upload(ctx, w.principal(user), "Bearer "+w.tokens[user], signing.Caller{}, r.ID, content)
	}
	w.work()
	status(t, upload("ann", good), 403)
	if p := status(t, upload("builder", payload("other")), 400); !strings.Contains(p.Error(), "was announced") {
		t.Error(p)
	}
	w.must(upload("builder", good))
	status(t, upload("builder", good), 409)
	w.work()
	w.is(r, model.WorkflowCompleted)
	status(t, upload("builder", good), 409)

	free, err := w.submit("builder", "release", wire.SubmitWithoutArtifact)
	w.must(err)
	r = free
	status(t, upload("builder", []byte("MZ")), 400)
	w.is(free, model.WorkflowWaitingForArtifactUpload)
}

func TestResubmit(t *testing.T) {
	w := newWorld(t)
	original := w.submitted("builder", "release", func(f *wire.Submission) { f.Asynchronous.Parameters = []wire.Parameter{{Name: "a", Value: "b"}} })
	again := func(user, policy string) (*model.SigningRequest, error) {
		return w.submit(user, policy, wire.Resubmit, func(f *wire.Submission) {
			f.ProjectSlug, f.Description, f.Asynchronous.OriginalSigningRequestID = "", "", original.ID
		})
	}
	_, err := again("builder", "approved")
	status(t, err, 409) // not finished
	w.work()
	_, err = again("other", "approved")
	status(t, err, 403)
	r, err := again("builder", "approved")
	w.must(err)
	got := w.is(r, model.WorkflowWaitingForApproval)
	if got.OriginalID != original.ID || got.Description != "release 1" || len(got.Parameters) != 1 || string(got.Artifact) != string(payload("abc")) || got.SigningPolicyID != w.policy["approved"].ID {
		t.Errorf("%+v", got)
	}
}

// stuckRing lets a test hold the key.
type stuckRing struct {
	fail    error
	entered chan struct{}
	release chan struct{}
	real    signing.KeyRing
}

func (s *stuckRing) Signer(ctx context.Context, k model.Key) (keys.Signer, error) {
	if s.entered != nil {
		s.entered <- struct{}{}
		<-s.release
	}
	if s.fail != nil {
		return nil, s.fail
	}
	return s.real.Signer(ctx, k)
}

func (s *stuckRing) Forget(keyID string) {
	if s.real != nil {
		s.real.Forget(keyID)
	}
}

// The process dies while the key is in use: the next one takes the request up
// again, and it is completed once.
func TestCrashWhileProcessing(t *testing.T) {
	w := newWorld(t)
	stuck := &stuckRing{entered: make(chan struct{}), release: make(chan struct{}), fail: errors.New("died")}
	w.ring = stuck
	w.must(w.log.Close(t.Context()), w.store.Close())
	w.open()
	r := w.submitted("builder", "release")
	old := w.runner
	dead := make(chan struct{})
	go func() {
		_, _ = old.RunDue(context.Background())
		close(dead)
	}()
	<-stuck.entered
	w.is(r, model.WorkflowProcessing)
	w.ring = nil
	w.crash()
	close(stuck.release) // what the old one still does meets a closed database
	<-dead
	w.is(r, model.WorkflowProcessing)
	w.work()
	w.is(r, model.WorkflowCompleted)
	got := w.entries(r)
	want := []string{"HashSigning.Completed", "HashSigning.Intent", "HashSigning.Intent", "HashSigning.OutcomeUnknown", "SigningRequest.Completed", "SigningRequest.Submitted"}
	if open := slices.Index(got, "HashSigning.OutcomeUnknown"); open < 0 { // it names its intent, not the request
		got = append(got, "HashSigning.OutcomeUnknown")
	}
	slices.Sort(got)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("audit: %v", got)
	}
}

// Without a shared clock of leases nobody takes a job that another one holds.
func TestLeaseKeepsOthersAway(t *testing.T) {
	w := newWorld(t)
	r := w.submitted("builder", "release")
	var held []model.Job
	w.must(w.store.Write(t.Context(), func(tx store.Tx) (err error) {
		held, err = tx.ClaimJobs([]string{JobSign}, "another replica", w.now, w.now.Add(time.Minute), 10)
		return err
	}))
	w.work()
	w.is(r, model.WorkflowQueuedForProcessing)
	w.now = w.now.Add(time.Minute)
	w.work()
	w.is(r, model.WorkflowCompleted)
	// The first one comes back: its result is not used.
	err := w.room.complete(t.Context(), held[0], []byte("second"), &signing.Result{KeyVersion: 9})
	if err != nil && !errors.Is(err, errLost) {
		t.Error(err)
	}
	if done := w.is(r, model.WorkflowCompleted); done.KeyVersion != 1 {
		t.Error("a second result replaced the first")
	}
}

// A key store in trouble is tried again, later and later, and not for ever.
func TestKeyStoreInTrouble(t *testing.T) {
	w := newWorld(t)
	real := keys.NewRing(w.store, map[string]keys.Backend{"soft": keys.NewSoft(w.kek)})
	trouble := &stuckRing{fail: errors.New("no HSM"), real: real}
	w.signing.Keys = trouble
	r := w.submitted("builder", "release")
	hopeless := w.submitted("builder", "release")
	w.work()
	w.is(r, model.WorkflowQueuedForProcessing)
	for range maxAttempts {
		w.now = w.now.Add(10 * time.Minute)
		w.work()
	}
	if f := w.is(hopeless, model.WorkflowProcessingFailed); strings.Contains(f.Reason, "no HSM") || f.Reason == "" {
		t.Error(f.Reason)
	}
	trouble.fail = nil
	late := w.submitted("builder", "release")
	w.work()
	w.is(late, model.WorkflowCompleted)
	again, err := w.submit("builder", "release", wire.Resubmit, func(f *wire.Submission) { f.ProjectSlug, f.Asynchronous.OriginalSigningRequestID = "", r.ID })
	w.must(err)
	w.work()
	w.is(again, model.WorkflowCompleted)
}

// The result of a request that was canceled while the key was in use goes nowhere.
func TestCanceledWhileProcessing(t *testing.T) {
	w := newWorld(t)
	real := keys.NewRing(w.store, map[string]keys.Backend{"soft": keys.NewSoft(w.kek)})
	stuck := &stuckRing{entered: make(chan struct{}), release: make(chan struct{}), real: real}
	w.signing.Keys = stuck
	r := w.submitted("builder", "release")
	done := make(chan error)
	go func() {
		_, err := w.runner.RunDue(context.Background())
		done <- err
	}()
	<-stuck.entered
	w.must(w.room.Cancel(t.Context(), w.principal("builder"), r.ID, ""))
	close(stuck.release)
	w.must(<-done)
	if c := w.is(r, model.WorkflowCanceled); c.Result != nil {
		t.Error("a canceled request has a result")
	}
}

// A fast request is found in the audit log.
func TestFastFromTheAuditLog(t *testing.T) {
	w := newWorld(t)
	w.now = time.Now().UTC().Truncate(time.Millisecond) // IDs and entries hold the real time
	h, err := wire.ParsePayload(payload("abc"))
	w.must(err)
	var ids []string
	for range 5 {
		result, err := w.signing.Sign(t.Context(), signing.Request{OrganizationID: w.org.ID, Authorization: "Bearer " + w.tokens["builder"], ProjectSlug: "app", SigningPolicySlug: "release", Description: "fast", Hash: h})
		w.must(err)
		ids = append(ids, result.SigningRequestID)
	}
	w.entries(&model.SigningRequest{ID: "-"}) // waits
	for _, id := range ids {
		a, err := w.room.Fast(t.Context(), w.signing.Snapshot(), w.org.ID, strings.ToUpper(id))
		w.must(err)
		if a.SigningRequestID != id || a.Status != "Completed" || !a.IsFinalStatus || !a.IsFastSigningRequest || a.ProjectSlug != "app" || a.SigningPolicySlug != "release" || a.SubmitterName != "builder" || a.Description != "fast" || a.KeyVersion != 1 {
			t.Errorf("%+v", a)
		}
	}
	for _, c := range []struct{ org, id string }{{"11111111-1111-4111-8111-111111111111", ids[0]}, {w.org.ID, "11111111-1111-4111-8111-111111111111"}, {w.org.ID, ids[0][:35] + map[bool]string{true: "1", false: "0"}[ids[0][35] == '0']}} {
		_, err := w.room.Fast(t.Context(), w.signing.Snapshot(), c.org, c.id)
		status(t, err, 403)
	}
}

// Not even a database that says so makes the submitter an approver.
func TestSubmitterNeverCounts(t *testing.T) {
	w := newWorld(t)
	r := w.submitted("ann", "approved")
	r.Approvals = []model.RequestApproval{{UserID: w.users["ann"].ID}, {UserID: w.users["ben"].ID}, {UserID: w.users["ben"].ID}}
	r.Workflow = model.WorkflowQueuedForProcessing
	w.must(w.store.Write(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.PutSigningRequest(*r), tx.PutJob(jobs.New(JobSign, w.org.ID, r.ID, w.now)))
	}))
	w.work()
	if f := w.is(r, model.WorkflowProcessingFailed); !strings.Contains(f.Reason, "the request has 1") {
		t.Error(f.Reason)
	}
}
