
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
P
;type.googleapis.com/gatehouse.config.v1.PublicApiRestricted
jira	a pattern
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden