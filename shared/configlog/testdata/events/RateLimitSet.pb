
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
K
4type.googleapis.com/gatehouse.config.v1.RateLimitSet
jira€Œî‰"˜*
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden