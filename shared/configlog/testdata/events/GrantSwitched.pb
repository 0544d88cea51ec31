
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
H
5type.googleapis.com/gatehouse.config.v1.GrantSwitched
jiraa grant
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden