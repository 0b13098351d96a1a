package requests

import (
	"fmt"
	"slices"

	"signpath/internal/service/model"
)

// state is one line of the table.
type state struct {
	workflow model.RequestWorkflow
	status   model.RequestStatus
	final    bool
	next     []model.RequestWorkflow // what may follow
}

// The state machine of asynchronous signing requests (SignPath REST API
// documentation, "Signing request status"). A request begins in one of the
// first three. The documented steps for malware scans and for retrieving
// artifacts do not occur when hashes are signed: a link is followed before the
// request is accepted.
var states = []state{
	{model.WorkflowWaitingForArtifactUpload, model.RequestInProgress, false, []model.RequestWorkflow{model.WorkflowWaitingForApproval, model.WorkflowQueuedForProcessing, model.WorkflowCanceled}},
	{model.WorkflowWaitingForApproval, model.RequestWaitingForApproval, false, []model.RequestWorkflow{model.WorkflowQueuedForProcessing, model.WorkflowDenied, model.WorkflowCanceled}},
	{model.WorkflowQueuedForProcessing, model.RequestInProgress, false, []model.RequestWorkflow{model.WorkflowProcessing, model.WorkflowCanceled}},
	// Back to the queue when the key store or database was away.
	{model.WorkflowProcessing, model.RequestInProgress, false, []model.RequestWorkflow{model.WorkflowCompleted, model.WorkflowProcessingFailed, model.WorkflowQueuedForProcessing, model.WorkflowCanceled}},
	{model.WorkflowProcessingFailed, model.RequestFailed, true, nil},
	{model.WorkflowCompleted, model.RequestCompleted, true, nil},
	{model.WorkflowDenied, model.RequestDenied, true, nil},
	{model.WorkflowCanceled, model.RequestCanceled, true, nil},
}

// stateOf finds the line of a step; one that does not exist counts as failed.
func stateOf(w model.RequestWorkflow) state {
	i := slices.IndexFunc(states, func(s state) bool { return s.workflow == w })
	if i < 0 {
		return state{workflow: w, status: model.RequestFailed, final: true}
	}
	return states[i]
}

// Status gives the status of a step, and whether it is final.
func Status(w model.RequestWorkflow) (status model.RequestStatus, final bool) {
	s := stateOf(w)
	return s.status, s.final
}

// Workflows are the steps with a status; nil for one that does not exist.
func Workflows(status string) []model.RequestWorkflow {
	var all []model.RequestWorkflow
	for _, s := range states {
		if equalFold(string(s.status), status) || equalFold(string(s.workflow), status) {
			all = append(all, s.workflow)
		}
	}
	return all
}

// follow changes the step, if the table allows it.
func follow(r *model.SigningRequest, to model.RequestWorkflow) error {
	if !slices.Contains(stateOf(r.Workflow).next, to) {
		return fmt.Errorf("the signing request %s is %s and cannot become %s", r.ID, r.Workflow, to)
	}
	r.Workflow = to
	return nil
}
