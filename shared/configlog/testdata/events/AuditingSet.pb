
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
]
3type.googleapis.com/gatehouse.config.v1.AuditingSet&
jira"a sync*a when_unavailable
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden