package httpapi

import (
	"net/url"
	"strconv"
	"strings"

	"signpath/internal/service/admin"
	"signpath/internal/wire"
)

// paging reads which page of a list is wanted: cursor and limit in the query.
// Without them the whole list is answered, as before there were pages.
func (x *exchange) paging() (admin.Paging, error) {
	var p admin.Paging
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return p, wire.Field("", "The query of the address cannot be read.")
	}
	errs := wire.FieldErrors{}
	given := map[string]string{}
	for name, values := range query {
		key := strings.ToLower(name)
		if key != "cursor" && key != "limit" {
			continue
		}
		if _, twice := given[key]; twice || len(values) > 1 {
			errs[key] = []string{key + " is given more than once."}
			continue
		}
		given[key] = values[0]
	}
	p.Cursor = given["cursor"]
	if text, ok := given["limit"]; ok {
		if p.Limit, err = strconv.Atoi(text); err != nil || p.Limit < 1 || p.Limit > admin.MaxPage {
			errs["limit"] = []string{"The limit is a number from 1 to " + strconv.Itoa(admin.MaxPage) + "."}
		}
	}
	if len(errs) > 0 {
		return p, errs
	}
	return p, nil
}

// list is the input of a list of the whole organization.
func (x *exchange) list() (admin.List, error) {
	p, err := x.paging()
	return admin.List{OrganizationReference: x.org(), Paging: p}, err
}

// listOfProject is the input of a list of what is in the project that the path names.
func (x *exchange) listOfProject() (admin.ProjectFilter, error) {
	p, err := x.paging()
	return admin.ProjectFilter{OrganizationReference: x.org(), Paging: p, Project: x.params["projectSlug"]}, err
}
