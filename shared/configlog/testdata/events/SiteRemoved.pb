
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
L
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
wiki
confluence
=
3type.googleapis.com/gatehouse.config.v1.SiteRemoved
jira
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden