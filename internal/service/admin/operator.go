package admin

import (
	"os/user"

	"signpath/internal/service/audit"
)

// operatorType is the actor type of local administration.
const operatorType = "Operator"

// CurrentOperator is the person who runs this process.
func CurrentOperator() audit.Actor {
	u, err := user.Current()
	if err != nil {
		return audit.Actor{Type: operatorType, Name: "unknown"}
	}
	return audit.Actor{Type: operatorType, ID: u.Uid, Name: u.Username}
}

// operator looks a person up; an identifier without a name is kept as it is.
func operator(id string) audit.Actor {
	if u, err := user.LookupId(id); err == nil {
		return audit.Actor{Type: operatorType, ID: id, Name: u.Username}
	}
	return audit.Actor{Type: operatorType, ID: id}
}
