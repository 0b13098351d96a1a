package audit

import (
	"time"

	"signpath/internal/service/model"
)

// Changes of what lies beside signing, which need an entry as well.

func (t *changeTx) PutTrustedBuildSystem(b model.TrustedBuildSystem) error {
	t.changed = true
	return t.Tx.PutTrustedBuildSystem(b)
}

func (t *changeTx) DeleteTrustedBuildSystem(organizationID, id string) error {
	t.changed = true
	return t.Tx.DeleteTrustedBuildSystem(organizationID, id)
}

func (t *changeTx) RemoveDocuments(organizationID string, before, now time.Time, limit int) ([]string, error) {
	ids, err := t.Tx.RemoveDocuments(organizationID, before, now, limit)
	t.changed = t.changed || len(ids) > 0
	return ids, err
}

func (t *changeTx) DeleteSigningRequests(organizationID string, before time.Time, limit int) ([]string, error) {
	ids, err := t.Tx.DeleteSigningRequests(organizationID, before, limit)
	t.changed = t.changed || len(ids) > 0
	return ids, err
}

func (t *changeTx) DeleteWebhookDeliveries(organizationID string, before time.Time, limit int) (int, error) {
	n, err := t.Tx.DeleteWebhookDeliveries(organizationID, before, limit)
	t.changed = t.changed || n > 0
	return n, err
}
