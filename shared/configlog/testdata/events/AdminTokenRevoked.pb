
K
8type.googleapis.com/gatehouse.config.v1.AdminTokenIssued
a nameadmin
I
8type.googleapis.com/gatehouse.config.v1.AdminTokenIssued
ciauditor
E
9type.googleapis.com/gatehouse.config.v1.AdminTokenRevoked
a name
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden