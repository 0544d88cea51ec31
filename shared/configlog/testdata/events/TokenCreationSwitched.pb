
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
I
=type.googleapis.com/gatehouse.config.v1.TokenCreationSwitched
jira
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden