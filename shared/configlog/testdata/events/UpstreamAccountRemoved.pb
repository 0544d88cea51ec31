
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
O
:type.googleapis.com/gatehouse.config.v1.UpstreamAccountSet
jira	a account
c
:type.googleapis.com/gatehouse.config.v1.UpstreamAccountSet%
jirasvc-api"GATEHOUSE_SECRET_X
S
>type.googleapis.com/gatehouse.config.v1.UpstreamAccountRemoved
jira	a account
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden