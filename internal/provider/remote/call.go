package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"signpath/internal/wire"
)

const (
	maxAnswer   = 64 << 20 // bytes of a good answer, after decompression
	maxRefusal  = 64 << 10 // bytes of an error document
	safetyTotal = 600 * time.Second
)

// answer is what one attempt brought back.
type answer struct {
	status     int
	body       []byte
	problem    *wire.Problem
	excerpt    string        // the body as one redacted line
	retryAfter time.Duration // 0: not given
	location   string        // host of a redirect
	tag        string        // ETag of a good answer
}

// call runs a request with its retries. decode reads a good answer; what it
// refuses is class Service.
func (c *Client) call(ctx context.Context, a Attempt, r request, decode func([]byte) error) error {
	return c.callAnswer(ctx, a, r, func(ans answer) error { return decode(ans.body) })
}

// callAnswer is call for those who need more than the body. A request with
// ifNoneMatch may be answered with status 304 and no body.
func (c *Client) callAnswer(ctx context.Context, a Attempt, r request, decode func(answer) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Class: Other, Op: r.op, Err: fmt.Errorf("internal error: %s", c.redact.line(fmt.Sprint(p)))}
		}
	}()
	traceID, err := randomHex(16)
	if err != nil {
		return &Error{Class: Other, Op: r.op, Err: err}
	}
	host := ctx // the caller's own; ctx also ends with Close
	ctx, done := c.bound(ctx)
	defer done()

	total := c.total(a)
	start := c.now()
	wait := backoff{first: c.settings.Timeouts.FirstRetryDelay, rand: c.rand}
	for n := 0; ; n++ {
		limit := c.requestLimit()
		remaining := total - c.now().Sub(start)
		if total > 0 {
			limit = min(limit, max(remaining, time.Millisecond))
		}
		ans, err := c.attempt(ctx, r, traceID, limit)
		if err == nil && (good(ans.status) || ans.status == http.StatusNotModified && r.ifNoneMatch != "") {
			if err = decode(ans); err == nil {
				return nil
			}
			err = &unreadableError{err}
		}
		if ctx.Err() != nil {
			return c.canceled(r.op, host)
		}
		verdict := statusRule(ans.status)
		if err != nil {
			verdict = errorRule(err)
		} else if ans.status == http.StatusBadRequest && clearToTLS(ans.excerpt) {
			verdict.hint = hintScheme
		}
		failure := c.failure(r.op, verdict, ans, err, traceID)
		if !verdict.retry || a.Once {
			return failure
		}
		delay := max(wait.next(), ans.retryAfter)
		remaining = total - c.now().Sub(start)
		if count := c.settings.Timeouts.RetryCount; count >= 0 && n >= count || total > 0 && delay >= remaining {
			if n > 0 {
				gaveUp(failure, n+1, c.now().Sub(start))
			}
			return failure
		}
		args := []any{"request", r.op, "attempt", n + 1, "delay", delay.Round(time.Millisecond).String()}
		if ans.status != 0 {
			args = append(args, "status", ans.status)
		}
		args = append(args, "cause", failure.Error())
		if ans.excerpt != "" {
			args = append(args, "body", ans.excerpt)
		}
		c.log.Warning("the request failed and is tried again", args...)
		if c.sleep(ctx, delay) != nil || ctx.Err() != nil {
			return c.canceled(r.op, host)
		}
	}
}

func good(status int) bool {
	return status/100 == 2 && status != http.StatusNoContent && status != http.StatusResetContent
}

// total is the time for a call with all its retries; 0 means that only their number is bounded.
func (c *Client) total(a Attempt) time.Duration {
	t := c.settings.Timeouts.Total
	if t <= 0 && c.settings.Timeouts.RetryCount < 0 {
		t = safetyTotal // something must end it
	}
	if a.Limit > 0 && (t <= 0 || a.Limit < t) {
		t = a.Limit
	}
	return max(t, 0)
}

func (c *Client) canceled(op string, host context.Context) error {
	cause := context.Cause(host)
	if cause == nil {
		cause = errors.New("the connection to the service was closed by this program")
	}
	return &Error{Class: Canceled, Op: op, Err: c.redact.cause(cause)}
}

// failure makes the error of the last attempt.
func (c *Client) failure(op string, verdict rule, ans answer, err error, traceID string) *Error {
	e := &Error{Class: verdict.class, Op: op, Problem: ans.problem, TraceID: traceID, Hint: verdict.hint, Err: c.redact.cause(err)}
	if err == nil || isA[*unreadableError](err) {
		e.Status = ans.status
	}
	switch {
	case ans.problem != nil && ans.problem.TraceID != "":
		e.TraceID = ans.problem.TraceID
	case ans.location != "":
		e.Err = fmt.Errorf("redirect to %s", ans.location)
	}
	var p *proxyError
	if errors.As(err, &p) {
		e.Status = p.status
	}
	return e
}

// gaveUp adds how long it was tried.
func gaveUp(e *Error, attempts int, after time.Duration) {
	text := fmt.Sprintf("gave up after %d attempts in %s", attempts, after.Round(time.Second))
	if e.Err == nil {
		e.Err = errors.New(text)
		return
	}
	e.Err = fmt.Errorf("%w; %s", e.Err, text)
}

// attempt sends the request once. The error is nil whenever a complete answer came.
func (c *Client) attempt(ctx context.Context, r request, traceID string, limit time.Duration) (ans answer, err error) {
	proxy, err := c.lanes.dialer.proxyFor(r.url)
	if err != nil {
		return answer{}, &configError{err}
	}
	if proxy != nil {
		c.redact.addProxy(proxy)
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := c.now()
	defer func() {
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && caller.Err() == nil {
			err = &limitError{limit.Round(time.Millisecond)}
		}
		c.log.Debug("request", "request", r.op, "trace", traceID, "status", ans.status, "bytes", len(ans.body), "took", c.now().Sub(began).String())
	}()

	lane, err := c.lanes.acquire(ctx)
	if err != nil {
		return answer{}, err
	}
	defer c.lanes.release(lane)
	err = lane.do(ctx, proxy, func() (*http.Request, error) { return r.http(ctx, c, traceID) },
		func(resp *http.Response, body io.Reader) (whole bool, err error) {
			ans, whole, err = c.read(resp, body)
			return whole, err
		})
	if err != nil {
		ans = answer{status: ans.status}
	}
	return ans, err
}

// read takes an answer and tells whether it was all.
func (c *Client) read(resp *http.Response, content io.Reader) (answer, bool, error) {
	ans := answer{status: resp.StatusCode}
	limit := int64(maxRefusal)
	if ans.status/100 == 2 {
		limit = maxAnswer
		if resp.ContentLength > limit {
			return ans, false, tooLarge()
		}
	}
	body, err := readAll(io.LimitReader(content, limit+1), resp.ContentLength)
	if ans.status/100 == 2 {
		switch {
		case err != nil:
			return ans, false, err
		case int64(len(body)) > limit:
			return ans, false, tooLarge()
		}
		ans.body, ans.tag = body, resp.Header.Get("ETag")
		return ans, true, nil
	}
	// The status decides, even when the document behind it broke off.
	text := c.redact.text(string(body)) // before anything cuts it: a cut must not leave half a secret
	if p := c.redact.problem(wire.ParseProblem(resp.Header.Get("Content-Type"), []byte(text))); p.Title != "" || p.Detail != "" || len(p.Errors) > 0 {
		if p.Title == "" {
			p.Title = http.StatusText(ans.status)
		}
		p.Status = ans.status
		ans.problem = p
	}
	ans.excerpt = c.redact.line(text)
	ans.retryAfter = retryAfter(resp.Header.Get("Retry-After"), c.now())
	if ans.status/100 == 3 {
		ans.location = c.redirectHost(resp)
	}
	return ans, err == nil && int64(len(body)) <= limit, nil
}

// readAll is io.ReadAll for a body whose length is announced: growing step by
// step takes twice the time and three times the memory.
func readAll(r io.Reader, length int64) ([]byte, error) {
	const believed = 16 << 20 // bytes; more is seen first
	var b bytes.Buffer
	b.Grow(int(min(max(length, 0), believed)) + bytes.MinRead)
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

func tooLarge() error {
	return &unreadableError{fmt.Errorf("it is larger than %d MiB", maxAnswer>>20)}
}

// redirectHost names where a redirect points, without path or query.
func (c *Client) redirectHost(resp *http.Response) string {
	u, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return "an unreadable address"
	}
	if u.Host == "" {
		return "another path of the same host"
	}
	return c.redact.line(u.Host)
}

// retryAfter reads the header field (RFC 9110 section 10.2.3): seconds or a date; 0 when there is none.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if s, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(s, uint64(365*24*3600))) * time.Second
	}
	if t, err := http.ParseTime(value); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}
